#include <span>

#include "workers/gradients/gradient_exchange.h"
#include "workers/gradients/gradient_reducer.h"
#include "workers/gradients/host_copy.h"

namespace tessera {
namespace {

class MpiExchange : public GradientExchange {
 public:
  MpiExchange(const Communicator& workers, const at::Device& device, Wire wire, std::string text)
      : GradientExchange(std::move(text)),
        workers_(workers),
        on_host_(device.is_cpu()),
        reducer_(workers, {.wire = wire}) {}

  bool sends_early() const override { return on_host_; }

  void begin(const at::Tensor& flat) override {
    GradientExchange::begin(flat);
    if (on_host_) reducer_.begin(span_of<float>(flat_));
  }

  void ready(std::int64_t values) override { reducer_.ready(values); }

  void finish(at::Tensor& sums) override {
    HostCopy flat(flat_), scalars(sums);
    if (!on_host_) reducer_.begin(flat.values<float>());
    reducer_.ready(flat_.numel());
    reducer_.finish();
    flat.write_back();
    workers_.sum(scalars.values<double>());
    scalars.write_back();
  }

 private:
  const Communicator& workers_;
  bool on_host_;
  GradientReducer reducer_;
};

}  // namespace

std::unique_ptr<GradientExchange> make_mpi_exchange(const Communicator& workers, const at::Device& device,
                                                    Wire wire, std::string text) {
  return std::make_unique<MpiExchange>(workers, device, wire, std::move(text));
}

}  // namespace tessera
