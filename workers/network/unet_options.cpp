#include "workers/network/unet_options.h"

#include <algorithm>

namespace tessera {

UNetOptions unet2015_options() {
  return {};
}

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
  return options.padding == Padding::valid
             ? valid_geometry(options.depth, options.block_convs)
             : same_geometry(options.depth, options.block_convs, options.up_kernel);
}

namespace {

/// Bytes at the peak: a constant, so many per input pixel, and so many per input pixel and base filter.
/// Fitted to tests/benchmarks/memory_model.cpp (docs/performance.md).
struct MemoryModel {
  double constant, per_pixel, per_pixel_and_filter;
};
constexpr double kMiB = 1 << 20;
constexpr MemoryModel kValidFloat32{0, 104, 13.6};
constexpr MemoryModel kValidHalf{0, 180, 5.3};
/// Its 3x3 transposed convolutions go through a matrix product with buffers of its own.
constexpr MemoryModel kSame{80 * kMiB, 260, 16.2};
constexpr MemoryModel kValidTraining{0, 600, 40};
constexpr MemoryModel kSameTraining{0, 680, 102};

std::int64_t evaluate(const MemoryModel& model, const UNetOptions& options, std::int64_t height,
                      std::int64_t width) {
  const double pixels = static_cast<double>(height) * static_cast<double>(width);
  // The fits have one channel in and two classes out; each further one is there twice in float32.
  const auto more = static_cast<double>(8 * (std::max<std::int64_t>(0, options.in_channels - 1) +
                                             std::max<std::int64_t>(0, options.classes - 2)));
  const double filters = static_cast<double>(options.base_filters) * options.block_convs / 2;
  return static_cast<std::int64_t>(model.constant +
                                   pixels * (model.per_pixel + more + model.per_pixel_and_filter * filters));
}

}  // namespace

std::int64_t inference_memory(const UNetOptions& options, std::int64_t height, std::int64_t width,
                              std::int64_t value_bytes) {
  const MemoryModel& valid = value_bytes == 4 ? kValidFloat32 : kValidHalf;
  return evaluate(options.padding == Padding::valid ? valid : kSame, options, height, width);
}

std::int64_t training_memory(const UNetOptions& options, std::int64_t height, std::int64_t width) {
  constexpr std::int64_t kBytesPerParameter = 16;  // itself, its gradient, two of the optimizer
  return evaluate(options.padding == Padding::valid ? kValidTraining : kSameTraining, options, height,
                  width) +
         kBytesPerParameter * parameter_count(options);
}

std::int64_t parameter_count(const UNetOptions& options) {
  const std::int64_t norm = options.batch_norm ? 2 : 0;
  std::int64_t count = 0;
  const auto block = [&](std::int64_t in, std::int64_t filters) {
    for (int c = 0; c < options.block_convs; ++c, in = filters)
      count += (9 * in + 1 + norm) * filters;
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
