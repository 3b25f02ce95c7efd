#include "workers/network/unet_options.h"

namespace tessera {

UNetOptions unet2015_options() { return {}; }

UNetOptions keras_same_options() {
  UNetOptions options;
  options.classes = 1;
  options.base_filters = 16;
  options.padding = Padding::same;
  options.batch_norm = true;
  options.up_kernel = 3;
  options.dropout = 0.1;
  options.dropout_place = DropoutPlace::every_level;
  return options;
}

NetworkGeometry geometry_of(const UNetOptions& options) {
  return options.padding == Padding::valid ? valid_geometry(options.depth, options.block_convs)
                                           : same_geometry(options.depth, options.block_convs, options.up_kernel);
}

namespace {

/// Values that the activations of the first level hold at once, per input pixel and base filter, at the
/// peak of a forward pass: the skip, the up-convolved, their concatenation and the convolution's result.
constexpr double kForwardPeak = 5.2;
/// Values that training keeps per input pixel and base filter until the backward pass has used them.
constexpr double kTrainingPeak = 21.0;

}  // namespace

std::int64_t inference_memory(const UNetOptions& options, std::int64_t height, std::int64_t width,
                              std::int64_t value_bytes) {
  const double pixels = static_cast<double>(height) * static_cast<double>(width);
  const double values = kForwardPeak * static_cast<double>(options.base_filters) +
                        static_cast<double>(2 * options.in_channels + 2 * options.classes);
  return static_cast<std::int64_t>(pixels * values * static_cast<double>(value_bytes));
}

std::int64_t training_memory(const UNetOptions& options, std::int64_t height, std::int64_t width) {
  const double pixels = static_cast<double>(height) * static_cast<double>(width);
  const double norm = options.batch_norm ? 1.5 : 1.0;
  const double values = norm * kTrainingPeak * static_cast<double>(options.base_filters) * options.block_convs / 2;
  return static_cast<std::int64_t>(pixels * values * 4) + 16 * parameter_count(options);
}

std::int64_t parameter_count(const UNetOptions& options) {
  const std::int64_t norm = options.batch_norm ? 2 : 0;
  std::int64_t count = 0;
  const auto block = [&](std::int64_t in, std::int64_t filters) {
    for (int c = 0; c < options.block_convs; ++c, in = filters) count += (9 * in + 1 + norm) * filters;
  };
  std::int64_t in = options.in_channels;
  for (int level = 0; level <= options.depth; ++level) {
    const std::int64_t filters = options.base_filters << level;
    block(in, filters);
    in = filters;
  }
  for (int level = options.depth - 1; level >= 0; --level) {
    const std::int64_t filters = options.base_filters << level;
    count += (options.up_kernel * options.up_kernel * 2 * filters + 1) * filters;
    block(2 * filters, filters);
  }
  return count + (options.base_filters + 1) * options.classes;
}

}  // namespace tessera
