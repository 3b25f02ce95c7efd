#pragma once

#include <cstdint>

#include "workers/network/forward_plan.h"

namespace tessera::benchmarks {

/// What one input costs, counted from the layers: a product's multiplication and addition are two operations;
/// every layer reads its input and writes its output once, in `value_bytes` per value, and reads its weights
/// once. Bias, ReLU and the copy for the concatenation cost nothing extra where they are part of a layer.
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

/// One sample forward and backward: each layer's gradient by its input and by its weights are as many
/// operations as the layer itself and pass over as much memory; nobody asks for the gradient by the raw
/// image. The optimizer's step (SGD with momentum: reads weight, gradient and velocity, writes two of them
/// and clears the gradient, float32) is once a batch.
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
