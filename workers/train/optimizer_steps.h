#pragma once

#include <span>

namespace tessera {

/// One step of SGD with momentum: g += l2 p, v = momentum v + g, p -= rate v.
struct SgdStep {
  float rate = 0, momentum = 0, l2 = 0;
};

/// One step of Adam, with the bias corrections included in `rate` and `root_scale`:
/// g += l2 p, p *= kept, m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
/// p -= rate m / (root_scale sqrt(v) + epsilon).
struct AdamStep {
  float rate = 0, root_scale = 1, epsilon = 0;
  float beta1 = 0, rest1 = 1;  ///< rest1 = 1 - beta1, rounded once
  float beta2 = 0, rest2 = 1;
  float l2 = 0, kept = 1;  ///< weight decay: l2 in the gradient (Adam), kept on the weights (AdamW)
};

/// In place, in one pass over memory, on vectors of equal length. Each element's result depends only on that
/// element.
void step_sgd(const SgdStep& step, std::span<float> parameters, std::span<const float> gradient,
              std::span<float> velocity);
void step_adam(const AdamStep& step, std::span<float> parameters, std::span<const float> gradient,
               std::span<float> mean, std::span<float> variance);

/// In double precision, in a reduction order that depends only on the length.
double sum_of_squares(std::span<const float> values);

}  // namespace tessera
