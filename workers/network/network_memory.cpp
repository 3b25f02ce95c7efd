#include "workers/network/network_memory.h"

#include <algorithm>

namespace tessera {
namespace {

/// Peak memory in bytes: constant + per_voxel * input voxels + per_voxel_and_filter * input voxels * base
/// filters, for a U-Net with two convolutions per block. Fitted to tests/benchmarks/memory_model.cpp
/// (docs/performance.md).
struct MemoryModel {
  double constant, per_voxel, per_voxel_and_filter;
};
constexpr double kMiB = 1 << 20;
constexpr MemoryModel kValidFloat32{0, 104, 13.6};
constexpr MemoryModel kValidHalf{0, 180, 5.3};
/// The 3x3 transposed convolutions need extra buffers for a matrix product.
constexpr MemoryModel kSame{80 * kMiB, 260, 16.2};
constexpr MemoryModel kValidTraining{0, 600, 40};
constexpr MemoryModel kSameTraining{0, 680, 102};

/// Output values per input voxel of convolutions, without 1x1 convolutions.
struct ConvolvedValues {
  double all = 0, full_resolution = 0;
};

ConvolvedValues convolved_values(const NetworkDescription& network) {
  const std::vector<Index3> scales = value_scales(network);
  ConvolvedValues values;
  for (std::size_t i = 0; i < network.layers.size(); ++i) {
    const LayerDescription& layer = network.layers[i];
    if (layer.kind != LayerDescription::Kind::convolution || volume_of(layer.window.kernel) == 1) continue;
    const auto scale = static_cast<double>(volume_of(scales[i + 1]));
    values.all += static_cast<double>(layer.out_channels) / scale;
    if (scale == 1) values.full_resolution += static_cast<double>(layer.out_channels);
  }
  return values;
}

std::int64_t evaluate(const MemoryModel& model, const NetworkDescription& network, const Index3& input) {
  // Values per base filter of the measured U-Nets. There are two convolutions on levels 0 to 3 of both paths
  // and on level 4. A convolution on a level has 2^level times the channels and 4^-level times the pixels.
  constexpr double kValuesPerFilter = 2 * (2 * (1 + 0.5 + 0.25 + 0.125) + 0.0625);
  constexpr double kFullResolutionPerFilter = 4;
  // The fits have one input channel and two classes. Each further one needs two float32 values per voxel.
  const auto more = static_cast<double>(8 * (std::max<std::int64_t>(0, network.in_channels - 1) +
                                             std::max<std::int64_t>(0, network.classes() - 2)));
  // Part of the measured memory does not shrink with the depth, so a shallow network counts as one of
  // depth 4.
  const ConvolvedValues values = convolved_values(network);
  const double filters =
      std::max(values.all / kValuesPerFilter, values.full_resolution / kFullResolutionPerFilter);
  return static_cast<std::int64_t>(model.constant +
                                   static_cast<double>(volume_of(input)) *
                                       (model.per_voxel + more + model.per_voxel_and_filter * filters));
}

bool is_valid(const NetworkDescription& network) {
  return axis_geometry(network, 2).padding == Padding::valid;
}

}  // namespace

std::int64_t inference_memory(const NetworkDescription& network, const Index3& input,
                              std::int64_t value_bytes) {
  const MemoryModel& valid = value_bytes == 4 ? kValidFloat32 : kValidHalf;
  return evaluate(is_valid(network) ? valid : kSame, network, input);
}

std::int64_t training_memory(const NetworkDescription& network, const Index3& input) {
  constexpr std::int64_t kBytesPerParameter = 16;  // float32: parameter, gradient, two optimizer values
  return evaluate(is_valid(network) ? kValidTraining : kSameTraining, network, input) +
         kBytesPerParameter * parameter_count(network);
}

}  // namespace tessera
