#include "workers/segment/block_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <type_traits>

#include "io/base/error.h"

namespace tessera {
namespace {

template <class T>
std::int32_t weight_of_value(T value) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return 257 * std::int32_t{value};
  } else if constexpr (std::is_same_v<T, std::uint16_t>) {
    return value;
  } else {
    return static_cast<std::int32_t>(std::floor(static_cast<double>(value) * kWeightOne + 0.5));
  }
}

/// Errors: WholeJobError for the first value of a row that is no probability.
void require_probabilities(std::span<const float> row, const Index3& first) {
  for (std::size_t x = 0; x < row.size(); ++x) {
    if (row[x] >= 0 && row[x] <= 1) continue;
    throw WholeJobError(
        fmt::format("segment.prediction: voxel ({}, {}, {}) is {}, which is no probability in [0, 1]: use a "
                    "prediction of 'tessera infer', or scale the values",
                    first.z, first.y, first.x + static_cast<std::int64_t>(x), row[x]));
  }
}

/// The weights of all values, row-major, without the mask.
std::vector<std::int32_t> weights_in(const VoxelBuffer& values, const Index3& begin) {
  std::vector<std::int32_t> weights(static_cast<std::size_t>(volume_of(values.shape)));
  with_voxel_type(values.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (sizeof(T) <= 2 || std::is_same_v<T, float>) {
      const auto source = values.as<T>();
      const auto side = static_cast<std::size_t>(values.shape.x);
      for (std::size_t at = 0; at < weights.size(); at += side) {
        if constexpr (std::is_same_v<T, float>) {
          const auto row = static_cast<std::int64_t>(at / side);
          require_probabilities(source.subspan(at, side),
                                begin + Index3{row / values.shape.y, row % values.shape.y, 0});
        }
        for (std::size_t x = at; x < at + side; ++x)
          weights[x] = weight_of_value(source[x]);
      }
    } else {
      throw WholeJobError(
          fmt::format("segment.prediction: {} is no type of a probability", name_of(values.type)));
    }
  });
  return weights;
}

/// Copies what the padded arrays hold of `source`, whose box is `from`.
void copy_padded(const std::vector<std::int32_t>& source, const Box& from, const Index3& padded,
                 const Index3& padded_begin, std::vector<std::int32_t>& to) {
  to.assign(static_cast<std::size_t>(volume_of(padded)), BlockWeights::kOutside);
  const Box held = intersection(from, {padded_begin, padded_begin + padded});
  const Index3 shape = from.shape();
  for (std::int64_t z = held.begin.z; z < held.end.z; ++z) {
    for (std::int64_t y = held.begin.y; y < held.end.y; ++y) {
      const auto* row = source.data() + linear_index(Index3{z, y, held.begin.x} - from.begin, shape);
      auto* target = to.data() + linear_index(Index3{z, y, held.begin.x} - padded_begin, padded);
      std::copy_n(row, held.end.x - held.begin.x, target);
    }
  }
}

/// Sets what the mask has as 0 to kOutside.
void apply_mask(const VoxelBuffer& mask, std::vector<std::int32_t>& weights) {
  with_voxel_type(mask.type, [&](auto zero) {
    const auto values = mask.as<decltype(zero)>();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (values[i] == decltype(zero){}) weights[i] = BlockWeights::kOutside;
    }
  });
}

/// One pass along an axis of lines of `n` values that are `step` apart.
void filter_line(const std::uint64_t* from, std::uint64_t* to, std::int64_t n, std::int64_t step) {
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t before = i > 0 ? i - 1 : std::min<std::int64_t>(1, n - 1);
    const std::int64_t behind = i + 1 < n ? i + 1 : std::max<std::int64_t>(n - 2, 0);
    to[i * step] = from[before * step] + 2 * from[i * step] + from[behind * step];
  }
}

}  // namespace

void smooth_weights(std::span<std::int32_t> weights, const Index3& shape, int passes) {
  const std::int64_t section = shape.y * shape.x;
  std::vector<std::uint64_t> now(static_cast<std::size_t>(section)), next(now.size());
  for (std::int64_t z = 0; z < shape.z; ++z) {
    const auto part = weights.subspan(static_cast<std::size_t>(z * section), now.size());
    std::transform(part.begin(), part.end(), now.begin(),
                   [](std::int32_t w) { return static_cast<std::uint64_t>(std::max(w, 0)); });
    for (int pass = 0; pass < passes; ++pass) {
      for (std::int64_t x = 0; x < shape.x; ++x)
        filter_line(now.data() + x, next.data() + x, shape.y, shape.x);
      for (std::int64_t y = 0; y < shape.y; ++y)
        filter_line(next.data() + y * shape.x, now.data() + y * shape.x, shape.x, 1);
    }
    std::transform(now.begin(), now.end(), part.begin(),
                   [&](std::uint64_t sum) { return static_cast<std::int32_t>(sum >> (4 * passes)); });
  }
}

Box box_to_read(const Box& block, const Index3& shape, const BlockGraphOptions& options) {
  const std::int64_t plane = 1 + options.smoothing;
  const std::int64_t depth = options.mode == SegmentMode::sections ? 0 : 1;
  return intersection(block.grown({depth, plane, plane}), Box::of_shape(shape));
}

BlockWeights block_weights(const VoxelBuffer& values, const VoxelBuffer* mask, const Box& block,
                           const Index3& shape, const Index3& origin, const BlockGraphOptions& options) {
  const Box from = box_to_read(block, shape, options);
  assert(values.shape == from.shape() && (mask == nullptr || mask->shape == from.shape()));
  BlockWeights made;
  made.box = block;
  made.shape = shape;
  made.padded = block.shape() + Index3{2, 2, 2};
  const Index3 padded_begin = block.begin - Index3{1, 1, 1};
  std::vector<std::int32_t> weights = weights_in(values, origin + from.begin);
  if (options.smoothing > 0) {
    std::vector<std::int32_t> smoothed = weights;
    smooth_weights(smoothed, from.shape(), options.smoothing);
    if (mask != nullptr) apply_mask(*mask, smoothed);
    copy_padded(smoothed, from, made.padded, padded_begin, made.smoothed);
  }
  if (mask != nullptr) apply_mask(*mask, weights);
  copy_padded(weights, from, made.padded, padded_begin, made.weight);
  return made;
}

}  // namespace tessera
