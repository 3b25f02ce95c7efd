#include "workers/gradients/gradient_exchange.h"

#include <ATen/DeviceGuard.h>

#include "workers/gradients/nccl_exchange.h"
#include "workers/mpi/nccl_sum.h"

namespace tessera {
namespace {

class NoExchange : public GradientExchange {
 public:
  NoExchange() : GradientExchange("MPI") {}
  void finish(at::Tensor&) override {}
};

/// Why NCCL must not be used; "" where it may.
std::string reason_against_nccl(const GradientExchangeOptions& options) {
  if (options.reproducible) return "not with train.reproducible";
  if (options.wire != Wire::float32) return "not with train.wire: bfloat16";
  if (!options.nccl) return "not asked for";
  if (!options.sums_on_device) return "a worker keeps its sums on the host";
  return {};
}

std::string text_without_nccl(const std::string& reason) {
  return "MPI, through the host's memory, without NCCL: " + reason;
}

}  // namespace

std::unique_ptr<GradientExchange> make_no_exchange() {
  return std::make_unique<NoExchange>();
}

std::unique_ptr<GradientExchange> make_gradient_exchange(const Communicator& workers,
                                                         const at::Device& device,
                                                         const GradientExchangeOptions& options) {
  const bool replaced = !options.nccl_library.empty(), could_use_nccl = device.is_cuda() || replaced;
  std::string reason = reason_against_nccl(options);
  if (options.reproducible) {
    const bool says_why = could_use_nccl && workers.size() > 1;
    return make_fixed_order_exchange(workers, options.global_batch,
                                     says_why ? text_without_nccl(reason) : "MPI");
  }
  if (workers.size() == 1) return make_no_exchange();
  const bool all_on_cuda = !workers.any(!device.is_cuda());
  if (!could_use_nccl) return make_mpi_exchange(workers, device, options.wire);
  if (reason.empty()) {
    const at::OptionalDeviceGuard on_device(device);
    auto nccl = NcclSum::create(workers, replaced ? options.nccl_library : "libnccl.so.2", reason);
    if (nccl) return std::make_unique<NcclExchange>(std::move(nccl), device);
  }
  if (options.cuda_aware_mpi && all_on_cuda && options.wire == Wire::float32)
    return make_cuda_aware_exchange(workers);
  return make_mpi_exchange(workers, device, options.wire, text_without_nccl(reason));
}

}  // namespace tessera
