#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tessera {

/// The exponential moving average of a flat parameter vector (Polyak and Juditsky 1992; the form and the
/// warm-up of its decay are TensorFlow's ExponentialMovingAverage). It starts as the parameters.
class WeightAverage {
 public:
  WeightAverage(double decay, const at::Tensor& parameters);

  /// After a step: average = d average + (1 - d) parameters, d = min(decay, (1 + t) / (10 + t)) after
  /// iteration t, counted from 1.
  void update(const at::Tensor& parameters, std::int64_t iteration);
  at::Tensor& values() { return values_; }
  const at::Tensor& values() const { return values_; }

 private:
  double decay_;
  at::Tensor values_;
};

}  // namespace tessera
