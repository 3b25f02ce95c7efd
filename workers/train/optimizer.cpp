#include "workers/train/optimizer.h"

#include <ATen/Functions.h>

#include <cmath>

namespace tessera {

Optimizer::Optimizer(const OptimizerOptions& options, const at::Tensor& parameters) : options_(options) {
  if (options.kind == OptimizerOptions::Kind::sgd) {
    state_["momentum"] = at::zeros_like(parameters);
  } else {
    state_["mean"] = at::zeros_like(parameters);
    state_["variance"] = at::zeros_like(parameters);
  }
}

void Optimizer::step(at::Tensor& parameters, const at::Tensor& gradient, std::int64_t iteration) {
  at::Tensor g = gradient;
  if (options_.weight_decay > 0) g = g.add(parameters, options_.weight_decay);
  if (options_.kind == OptimizerOptions::Kind::sgd) {
    at::Tensor& velocity = state_["momentum"];
    velocity.mul_(options_.momentum).add_(g);
    parameters.add_(velocity, -options_.learning_rate);
    return;
  }
  at::Tensor& mean = state_["mean"];
  at::Tensor& variance = state_["variance"];
  mean.mul_(options_.beta1).add_(g, 1 - options_.beta1);
  variance.mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
  const auto t = static_cast<double>(iteration);
  const double mean_scale = 1 - std::pow(options_.beta1, t), variance_scale = 1 - std::pow(options_.beta2, t);
  const at::Tensor divisor = (variance / variance_scale).sqrt_().add_(options_.epsilon);
  parameters.addcdiv_(mean, divisor, -options_.learning_rate / mean_scale);
}

}  // namespace tessera
