#include <ATen/Functions.h>
#include <fmt/format.h>

#include "workers/network/unet.h"
#include "workers/train/gradient_engine.h"

namespace tessera {
namespace {

class AutogradEngine : public GradientEngine {
 public:
  AutogradEngine(FlatParameters& parameters, Precision precision)
      : parameters_(parameters), type_(precision == Precision::bfloat16 ? at::kBFloat16 : at::kFloat) {}

  std::string text() const override {
    return std::string("LibTorch's operators, ") + (type_ == at::kFloat ? "float32" : "bfloat16");
  }

  at::Tensor forward(const at::Tensor& input, std::uint64_t dropout_seed) override {
    at::manual_seed(dropout_seed);  // dropout draws from LibTorch's generator
    logits_ = parameters_.network().forward(input.to(type_));
    return logits_.detach().to(at::kFloat);
  }

  void backward(const at::Tensor& logits_gradient, const GradientReady& ready) override {
    logits_.backward(logits_gradient.to(type_));
    logits_.reset();
    if (ready) ready(parameters_.values().numel());
  }

 private:
  FlatParameters& parameters_;
  at::ScalarType type_;
  at::Tensor logits_;
};

}  // namespace

std::unique_ptr<GradientEngine> make_autograd_engine(FlatParameters& parameters, Precision precision) {
  return std::make_unique<AutogradEngine>(parameters, precision);
}

}  // namespace tessera
