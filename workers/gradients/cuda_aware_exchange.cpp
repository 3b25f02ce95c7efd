#include <torch/cuda.h>

#include "workers/gradients/gradient_exchange.h"
#include "workers/gradients/host_copy.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/cuda_aware.h"

namespace tessera {
namespace {

class CudaAwareExchange : public GradientExchange {
 public:
  explicit CudaAwareExchange(const Communicator& workers)
      : GradientExchange("MPI, in the devices' memory"), workers_(workers) {
    on_every_rank(workers, require_cuda_aware_mpi);
  }

  void finish(at::Tensor& sums) override {
    if (flat_.is_cuda()) torch::cuda::synchronize(flat_.device().index());
    sum_in_device_memory(workers_, flat_.data_ptr<float>(), static_cast<std::size_t>(flat_.numel()));
    HostCopy scalars(sums);
    workers_.sum(scalars.values<double>());
    scalars.write_back();
  }

 private:
  const Communicator& workers_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_cuda_aware_exchange(const Communicator& workers) {
  return std::make_unique<CudaAwareExchange>(workers);
}

}  // namespace tessera
