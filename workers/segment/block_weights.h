#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// The weights of a block and of the voxels around it, in whole numbers. The arrays have one voxel more than
/// the block on every side: row-major, of shape `padded`.
struct BlockWeights {
  Box box;       ///< the block, in the region
  Index3 shape;  ///< of the region
  Index3 padded;
  std::vector<std::int32_t> weight;    ///< 0 to 65535; kOutside outside the mask and beyond the region
  std::vector<std::int32_t> smoothed;  ///< likewise; empty without smoothing

  /// Of affinities, for each axis: the weight of the edge between each voxel and the one before it. kOutside
  /// where one of them is outside. Then `weight` is 0 for every voxel inside. Empty for probabilities, and
  /// along z in mode sections.
  std::array<std::vector<std::int32_t>, 3> affinity;

  static constexpr std::int32_t kOutside = -1;
  bool has_affinities() const { return !affinity[2].empty(); }

  std::int64_t stride(int axis) const { return axis == 0 ? padded.y * padded.x : axis == 1 ? padded.x : 1; }
  /// The place of the first voxel of a row of the block; z and y count within the block.
  std::int64_t row(std::int64_t z, std::int64_t y) const {
    return ((z + 1) * padded.y + y + 1) * padded.x + 1;
  }
  /// What steps 1 and 3 compare.
  const std::vector<std::int32_t>& levels() const { return smoothed.empty() ? weight : smoothed; }
};

/// The linear index of a voxel of the region.
inline std::int64_t linear_index(const Index3& at, const Index3& shape) {
  return (at.z * shape.y + at.y) * shape.x + at.x;
}

/// The box of voxels that a block's weights depend on, within the region.
Box box_to_read(const Box& block, const Index3& shape, const BlockGraphOptions& options);

/// Weights of a block. `values` are probabilities in the box that box_to_read() names: uint8 (255 is 1),
/// uint16 (65535 is 1) or float32, or as many channels of affinities. `mask`: integers in the same box, 0 is
/// outside; null: no mask. `origin`: of the region in its volume, for messages. Errors: WholeJobError for a
/// value that is no probability, naming the first such voxel. Channels that `options` do not name are
/// ignored.
BlockWeights block_weights(const VoxelBuffer& values, const VoxelBuffer* mask, const Box& block,
                           const Index3& shape, const Index3& origin, const BlockGraphOptions& options);

/// Weights (0 to 65535) of a box smoothed within each section by (1, 2, 1) along y and x, `passes` times,
/// mirrored at the box without repeating the edge, divided once, rounded down. In place.
void smooth_weights(std::span<std::int32_t> weights, const Index3& shape, int passes);

}  // namespace tessera
