#include "workers/train/optimizer_steps.h"

#include <array>
#include <cmath>
#include <cstddef>

namespace tessera {

void step_sgd(const SgdStep& step, std::span<float> parameters, std::span<const float> gradient,
              std::span<float> velocity) {
  float* __restrict p = parameters.data();
  float* __restrict v = velocity.data();
  const float* __restrict g = gradient.data();
  const SgdStep s = step;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    v[i] = s.momentum * v[i] + (g[i] + s.l2 * p[i]);
    p[i] -= s.rate * v[i];
  }
}

void step_adam(const AdamStep& step, std::span<float> parameters, std::span<const float> gradient,
               std::span<float> mean, std::span<float> variance) {
  float* __restrict p = parameters.data();
  float* __restrict m = mean.data();
  float* __restrict v = variance.data();
  const float* __restrict g = gradient.data();
  const AdamStep s = step;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const float slope = g[i] + s.l2 * p[i];
    m[i] = s.beta1 * m[i] + s.rest1 * slope;
    v[i] = s.beta2 * v[i] + s.rest2 * slope * slope;
    p[i] = s.kept * p[i] - s.rate * (m[i] / (s.root_scale * std::sqrt(v[i]) + s.epsilon));
  }
}

double sum_of_squares(std::span<const float> values) {
  constexpr std::size_t kLanes = 8;  // independent sums: additions do not wait for each other
  std::array<double, kLanes> lanes{};
  std::size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double value = values[i + lane];
      lanes[lane] += value * value;
    }
  }
  double sum = 0;
  for (const double lane : lanes)
    sum += lane;
  for (; i < values.size(); ++i)
    sum += static_cast<double>(values[i]) * values[i];
  return sum;
}

}  // namespace tessera
