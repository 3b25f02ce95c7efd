#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "workers/segment/block_weights.h"

namespace tessera {

/// The pieces of a block: what of a basin, or of a component, is connected within the block. Numbered in the
/// order of their first voxels.
struct BlockPieces {
  static constexpr std::uint32_t kNone = 0xffffffff;

  std::vector<std::uint32_t> piece;  ///< of each voxel of the block, row-major; kNone outside
  std::vector<std::uint64_t> name;   ///< the smallest linear index of each piece; ascending
  /// Of each voxel of each face, row-major: 1 where its best edge crosses the face. Empty where the region
  /// ends, and at faces across which voxels are no neighbours.
  std::array<std::vector<std::uint8_t>, 6> crosses;

  /// CRC-32C of the names.
  std::uint32_t crc() const;
};

/// The pieces of the basins. Of two edges of a voxel the better one has the larger weight, then (of
/// probabilities) the larger weight of its other voxel, then the smaller id. Basins are the connected
/// components of every voxel's best edge and of the edges of at least `options.saturated`.
BlockPieces find_basin_pieces(const BlockWeights& weights, const BlockGraphOptions& options);

/// Turns sets of voxels into numbered pieces. `pieces.piece` holds a parent for each voxel, as DisjointSets
/// leaves them, or kNone.
void number_pieces(const Box& block, const Index3& shape, BlockPieces& pieces);

}  // namespace tessera
