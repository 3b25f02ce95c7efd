#include "workers/segment/block_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <optional>
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

/// Errors: WholeJobError for the first value of a row that is no probability. `channel`: of affinities.
void require_probabilities(std::span<const float> row, const Index3& first,
                           const std::optional<std::int64_t>& channel) {
  for (std::size_t x = 0; x < row.size(); ++x) {
    if (row[x] >= 0 && row[x] <= 1) continue;
    const std::int64_t at = first.x + static_cast<std::int64_t>(x);
    if (channel) {
      throw WholeJobError(
          fmt::format("segment.prediction: channel {} of voxel ({}, {}, {}) is {}, which is no affinity in "
                      "[0, 1]: scale the values",
                      *channel, first.z, first.y, at, row[x]));
    }
    throw WholeJobError(
        fmt::format("segment.prediction: voxel ({}, {}, {}) is {}, which is no probability in [0, 1]: use a "
                    "prediction of 'tessera infer', or scale the values",
                    first.z, first.y, at, row[x]));
  }
}

/// Calls `function(row, begin)` for the values of every row of a channel, of type T, with the row's first
/// voxel in `from`.
template <class T, class Function>
void for_each_row(const VoxelBuffer& values, std::int64_t channel, const Index3& from,
                  const Function& function) {
  const auto all = values.as<T>();
  const auto side = static_cast<std::size_t>(values.shape.x);
  auto at = static_cast<std::size_t>(channel * volume_of(values.shape));
  for (std::int64_t z = 0; z < values.shape.z; ++z) {
    for (std::int64_t y = 0; y < values.shape.y; ++y, at += side)
      function(all.subspan(at, side), from + Index3{z, y, 0});
  }
}

/// Calls `write(weights, begin)` for the weights of every row, without the mask. `from`: the box of the
/// values in the region, whose first voxel is `origin` in its volume. `channel`: of affinities.
template <class Write>
void for_each_row_of_weights(const VoxelBuffer& values, const Box& from, const Index3& origin,
                             const std::optional<std::int64_t>& channel, const Write& write) {
  std::vector<std::int32_t> weights(static_cast<std::size_t>(values.shape.x));
  with_voxel_type(values.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (sizeof(T) <= 2 || std::is_same_v<T, float>) {
      for_each_row<T>(values, channel.value_or(0), from.begin,
                      [&](std::span<const T> row, const Index3& begin) {
                        if constexpr (std::is_same_v<T, float>)
                          require_probabilities(row, origin + begin, channel);
                        std::transform(row.begin(), row.end(), weights.begin(), weight_of_value<T>);
                        write(weights, begin);
                      });
    } else {
      throw WholeJobError(
          fmt::format("segment.prediction: {} is no type of a probability", name_of(values.type)));
    }
  });
}

/// The padded arrays of a block.
class PaddedArray {
 public:
  PaddedArray(std::vector<std::int32_t>& to, const BlockWeights& weights)
      : to_(to), box_{weights.box.begin - Index3{1, 1, 1}, weights.box.end + Index3{1, 1, 1}} {
    to_.assign(static_cast<std::size_t>(box_.voxels()), BlockWeights::kOutside);
  }
  /// Copies what the array has room for of a row that begins at a voxel of the region.
  void put(std::span<const std::int32_t> row, const Index3& begin) {
    const Box all{begin, begin + Index3{1, 1, std::ssize(row)}}, held = intersection(all, box_);
    if (held.empty()) return;
    std::copy_n(row.begin() + (held.begin.x - begin.x), held.shape().x, to_.begin() + place(held.begin));
  }
  /// Fills the part of a box that the array has room for.
  void fill(const Box& box, std::int32_t weight) {
    const std::vector<std::int32_t> row(static_cast<std::size_t>(box.shape().x), weight);
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      for (std::int64_t y = box.begin.y; y < box.end.y; ++y)
        put(row, {z, y, box.begin.x});
    }
  }
  /// Sets a row to kOutside where the mask is 0.
  template <class T>
  void mask(std::span<const T> row, const Index3& begin) {
    const Box all{begin, begin + Index3{1, 1, std::ssize(row)}}, held = intersection(all, box_);
    if (held.empty()) return;
    std::int32_t* weights = to_.data() + place(held.begin);
    const T* inside = row.data() + (held.begin.x - begin.x);
    for (std::int64_t x = 0; x < held.shape().x; ++x)
      weights[x] = inside[x] == T{} ? BlockWeights::kOutside : weights[x];
  }
  void mask(const VoxelBuffer& values, const Index3& from) {
    with_voxel_type(values.type, [&](auto zero) {
      using T = decltype(zero);
      for_each_row<T>(values, 0, from,
                      [&](std::span<const T> row, const Index3& begin) { mask(row, begin); });
    });
  }

 private:
  std::int64_t place(const Index3& at) const { return linear_index(at - box_.begin, box_.shape()); }

  std::vector<std::int32_t>& to_;
  Box box_;
};

/// The smoothed weights of the block.
void smooth_block(const VoxelBuffer& values, const VoxelBuffer* mask, const Box& from, const Index3& origin,
                  int passes, BlockWeights& made) {
  std::vector<std::int32_t> all;
  all.reserve(static_cast<std::size_t>(from.voxels()));
  for_each_row_of_weights(values, from, origin, std::nullopt,
                          [&](std::span<const std::int32_t> row, const Index3&) {
                            all.insert(all.end(), row.begin(), row.end());
                          });
  smooth_weights(all, from.shape(), passes);
  PaddedArray smoothed(made.smoothed, made);
  const auto side = static_cast<std::size_t>(from.shape().x);
  for (std::size_t at = 0; at < all.size(); at += side) {
    const auto row = static_cast<std::int64_t>(at / side);
    smoothed.put(std::span(all).subspan(at, side),
                 from.begin + Index3{row / from.shape().y, row % from.shape().y, 0});
  }
  if (mask != nullptr) smoothed.mask(*mask, from.begin);
}

/// The weights of the edges along an axis.
void read_affinities(const VoxelBuffer& values, const Box& from, const Index3& origin, int axis,
                     const AffinityChannels& channels, BlockWeights& made) {
  const auto at = static_cast<std::size_t>(axis);
  std::vector<std::int32_t>& edges = made.affinity[at];
  PaddedArray array(edges, made);
  // An edge is at its upper voxel.
  Index3 upper;
  upper[axis] = channels.step[at] > 0 ? 1 : 0;
  for_each_row_of_weights(
      values, from, origin, channels.channel[at],
      [&](std::span<const std::int32_t> row, const Index3& begin) { array.put(row, begin + upper); });
  const auto before = static_cast<std::size_t>(made.stride(axis));
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (i < before || made.weight[i] < 0 || made.weight[i - before] < 0) edges[i] = BlockWeights::kOutside;
  }
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
  PaddedArray weights(made.weight, made);
  if (options.affinities) {
    weights.fill(from, 0);
  } else {
    for_each_row_of_weights(
        values, from, origin, std::nullopt,
        [&](std::span<const std::int32_t> row, const Index3& begin) { weights.put(row, begin); });
  }
  if (mask != nullptr) weights.mask(*mask, from.begin);
  if (options.affinities) {
    for (int axis = options.first_axis(); axis < 3; ++axis)
      read_affinities(values, from, origin, axis, *options.affinities, made);
  }
  if (options.smoothing > 0) smooth_block(values, mask, from, origin, options.smoothing, made);
  return made;
}

}  // namespace tessera
