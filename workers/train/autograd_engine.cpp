#include <ATen/Functions.h>
#include <fmt/format.h>

#include "workers/network/unet.h"
#include "workers/train/gradient_engine.h"

namespace tessera {
namespace {

class AutogradEngine : public GradientEngine {
 public:
  explicit AutogradEngine(FlatParameters& parameters) : parameters_(parameters) {}

  std::string text() const override { return "LibTorch's operators, float32"; }

  at::Tensor forward(const at::Tensor& input, std::uint64_t dropout_seed) override {
    at::manual_seed(dropout_seed);  // dropout draws from LibTorch's generator
    logits_ = parameters_.network().forward(input);
    return logits_.detach();
  }

  void backward(const at::Tensor& logits_gradient, const GradientReady& ready) override {
    logits_.backward(logits_gradient);
    logits_.reset();
    if (ready) ready(parameters_.values().numel());
  }

 private:
  FlatParameters& parameters_;
  at::Tensor logits_;
};

}  // namespace

std::unique_ptr<GradientEngine> make_autograd_engine(FlatParameters& parameters) {
  return std::make_unique<AutogradEngine>(parameters);
}

}  // namespace tessera
