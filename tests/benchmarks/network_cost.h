#pragma once

#include <cstdint>

#include "workers/network/forward_plan.h"

namespace tessera::benchmarks {

/// The cost of one input, counted from the layers. A multiplication and an addition are two operations. Every
/// layer reads its input and writes its output once, with `value_bytes` per value, and reads its weights
/// once. Bias, ReLU and the copy for the concatenation cost nothing extra if they are part of a layer.
struct NetworkCost {
  double flop = 0, bytes = 0;
};

inline double step_flop(const ForwardStep& step) {
  const auto pixels_out = static_cast<double>(step.out_height * step.out_width);
  const auto channels = static_cast<double>(step.in_channels * step.out_channels);
  switch (step.kind) {
    case ForwardStep::Kind::convolution:
      return 2 * 9 * channels * pixels_out;
    case ForwardStep::Kind::spread:  // per input pixel 2 x 2 output pixels' channels, all counted in
                                     // out_channels
      return 2 * channels * static_cast<double>(step.in_height * step.in_width);
    case ForwardStep::Kind::to_classes:
      return 2 * channels * pixels_out;
    case ForwardStep::Kind::pooling:
    case ForwardStep::Kind::crop:
    case ForwardStep::Kind::shuffle:
      return 0;
  }
  return 0;
}

inline double step_bytes(const ForwardStep& step, double value_bytes) {
  const auto in = static_cast<double>(step.in_height * step.in_width * step.in_channels),
             out = static_cast<double>(step.out_height * step.out_width * step.out_channels),
             weights = static_cast<double>(step.in_channels * step.out_channels);
  switch (step.kind) {
    case ForwardStep::Kind::convolution:
      return value_bytes * (in + out + 9 * weights);
    case ForwardStep::Kind::spread:
      return value_bytes * (in + out + weights);
    case ForwardStep::Kind::to_classes:
      return value_bytes * (in + out + weights);
    case ForwardStep::Kind::pooling:
      return value_bytes * (in + out);
    case ForwardStep::Kind::crop:
    case ForwardStep::Kind::shuffle:
      return 0;
  }
  return 0;
}

/// One forward pass.
inline NetworkCost forward_cost(const NetworkDescription& options, std::int64_t side, double value_bytes) {
  NetworkCost cost{.flop = forward_flop(options, {1, side, side})};
  for (const ForwardStep& step : plan_forward(options, side, side, 2).steps)
    cost.bytes += step_bytes(step, value_bytes);
  return cost;
}

/// One sample forward and backward. A layer's gradients by its input and by its weights each cost as many
/// operations and as much memory traffic as the layer. The gradient by the raw image is not computed. The
/// optimizer's step (SGD with momentum in float32: reads weight, gradient and velocity, writes two of them
/// and clears the gradient) is once per batch.
inline NetworkCost training_cost(const NetworkDescription& options, std::int64_t side, double value_bytes,
                                 double batch) {
  NetworkCost cost;
  bool first = true;
  for (const ForwardStep& step : plan_forward(options, side, side, 2).steps) {
    const double times = first ? 2 : 3;
    cost.flop += times * step_flop(step);
    cost.bytes += times * step_bytes(step, value_bytes);
    first = false;
  }
  cost.bytes += 6 * 4 * static_cast<double>(parameter_count(options)) / batch;
  return cost;
}

}  // namespace tessera::benchmarks
