#include "workers/train/optimizer.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <cmath>

#include "workers/train/optimizer_steps.h"

namespace tessera {
namespace {

using Kind = OptimizerOptions::Kind;

constexpr std::int64_t kGrain = 1 << 15;  ///< elements per thread, at least

/// Whether the loops of optimizer_steps.h apply.
bool is_plain(const at::Tensor& parameters) {
  return parameters.device().is_cpu() && parameters.scalar_type() == at::kFloat;
}

/// f(begin, end) over the elements, on LibTorch's threads.
template <class Function>
void for_each_piece(const at::Tensor& vector, const Function& f) {
  at::parallel_for(0, vector.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    f([begin, end](const at::Tensor& whole) {
      return std::span<float>(whole.data_ptr<float>() + begin, static_cast<std::size_t>(end - begin));
    });
  });
}

void sgd(const OptimizerOptions& options, double rate, at::Tensor& parameters, const at::Tensor& gradient,
         at::Tensor& velocity) {
  if (is_plain(parameters)) {
    const SgdStep step{static_cast<float>(rate), static_cast<float>(options.momentum),
                       static_cast<float>(options.weight_decay)};
    for_each_piece(parameters, [&](const auto& piece) {
      step_sgd(step, piece(parameters), piece(gradient), piece(velocity));
    });
    return;
  }
  const at::Tensor g = options.weight_decay > 0 ? gradient.add(parameters, options.weight_decay) : gradient;
  velocity.mul_(options.momentum).add_(g);
  parameters.add_(velocity, -rate);
}

void adam(const OptimizerOptions& options, double rate, std::int64_t iteration, at::Tensor& parameters,
          const at::Tensor& gradient, at::Tensor& mean, at::Tensor& variance) {
  const auto t = static_cast<double>(iteration);
  const double mean_scale = 1 - std::pow(options.beta1, t), variance_scale = 1 - std::pow(options.beta2, t);
  const bool decoupled = options.kind == Kind::adamw;
  const double l2 = decoupled ? 0 : options.weight_decay;
  const double kept = decoupled ? 1 - rate * options.weight_decay : 1;
  if (is_plain(parameters)) {
    AdamStep step;
    step.rate = static_cast<float>(rate / mean_scale);
    step.root_scale = static_cast<float>(1 / std::sqrt(variance_scale));
    step.epsilon = static_cast<float>(options.epsilon);
    step.beta1 = static_cast<float>(options.beta1), step.rest1 = static_cast<float>(1 - options.beta1);
    step.beta2 = static_cast<float>(options.beta2), step.rest2 = static_cast<float>(1 - options.beta2);
    step.l2 = static_cast<float>(l2), step.kept = static_cast<float>(kept);
    for_each_piece(parameters, [&](const auto& piece) {
      step_adam(step, piece(parameters), piece(gradient), piece(mean), piece(variance));
    });
    return;
  }
  const at::Tensor g = l2 > 0 ? gradient.add(parameters, l2) : gradient;
  if (kept != 1) parameters.mul_(kept);
  mean.mul_(options.beta1).add_(g, 1 - options.beta1);
  variance.mul_(options.beta2).addcmul_(g, g, 1 - options.beta2);
  const at::Tensor divisor = (variance / variance_scale).sqrt_().add_(options.epsilon);
  parameters.addcdiv_(mean, divisor, -rate / mean_scale);
}

}  // namespace

Optimizer::Optimizer(const OptimizerOptions& options, const at::Tensor& parameters) : options_(options) {
  if (options.kind == Kind::sgd) {
    state_["momentum"] = at::zeros_like(parameters);
  } else {
    state_["mean"] = at::zeros_like(parameters);
    state_["variance"] = at::zeros_like(parameters);
  }
}

void Optimizer::step(at::Tensor& parameters, const at::Tensor& gradient, std::int64_t iteration,
                     double learning_rate) {
  if (options_.kind == Kind::sgd) {
    sgd(options_, learning_rate, parameters, gradient, state_["momentum"]);
  } else {
    adam(options_, learning_rate, iteration, parameters, gradient, state_["mean"], state_["variance"]);
  }
}

}  // namespace tessera
