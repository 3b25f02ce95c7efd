#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include "io/base/error.h"
#include "workers/device/out_of_memory.h"
#include "workers/device/torch_types.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"

namespace tessera {
namespace {

class LibTorchNetwork : public TileNetwork {
 public:
  LibTorchNetwork(const Network& network, Precision precision, const Device& device)
      : network_(clone_network(network)), precision_(precision), device_text_(device.text()) {
    const at::NoGradGuard no_grad;
    network_->eval();
    network_->to(torch_device(device), scalar_type(precision));
    for (auto& parameter : network_->parameters()) {
      if (parameter.dim() >= 4) parameter.set_data(parameter.contiguous(format()));
    }
  }

  std::string text() const override {
    return fmt::format("LibTorch, {}, {}", name_of(precision_), device_text_);
  }

  at::Tensor logits(const at::Tensor& input) override {
    const c10::InferenceMode inference;
    return named_out_of_memory(input, [&] {
      const at::Tensor images = input.to(scalar_type(precision_)).contiguous(format());
      return network_->forward(images, between_layers_).to(at::kFloat);
    });
  }

 private:
  at::MemoryFormat format() const {
    return network_->description().dimensions == 2 ? at::MemoryFormat::ChannelsLast
                                                   : at::MemoryFormat::ChannelsLast3d;
  }

  std::shared_ptr<Network> network_;
  Precision precision_;
  std::string device_text_;
};

}  // namespace

std::unique_ptr<TileNetwork> make_libtorch_network(const Network& network, Precision precision,
                                                   const Device& device) {
  if (precision == Precision::float16 && !device.cuda) {
    throw UsageError("precision: float16 needs a CUDA device; on the CPU use float32 or bfloat16");
  }
  return std::make_unique<LibTorchNetwork>(network, precision, device);
}

}  // namespace tessera
