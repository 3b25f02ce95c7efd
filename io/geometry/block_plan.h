#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/geometry/box.h"

namespace tessera {

/// How a volume is cut into blocks, the units of scheduling, reading, writing and restart. Ids count
/// row-major over the grid of blocks.
class BlockPlan {
 public:
  BlockPlan() = default;
  /// Shapes of at least 1 voxel.
  BlockPlan(const Index3& volume_shape, const Index3& block_shape);
  /// Of a region of a volume; the first block starts where the region does.
  static BlockPlan of_region(const Box& region, const Index3& block_shape);

  const Box& region() const { return region_; }
  const Index3& block_shape() const { return block_shape_; }
  std::int64_t count() const { return volume_of(grid_); }
  /// The voxels of block `id`, in volume coordinates, clipped to the region.
  Box block(std::int64_t id) const;
  /// Every id, the largest blocks first, neighbours together.
  std::vector<std::int64_t> hand_out_order() const;

 private:
  Box region_;
  Index3 block_shape_, grid_;
};

/// What the choice of chunks and blocks depends on; never on the number of ranks, so that the tiles, and
/// with them every byte of the result, are the same for any number.
struct BlockChoice {
  Index3 volume_shape;
  std::optional<Index3> input_chunk;  ///< of the raw volume
  std::int64_t alignment = 16;        ///< of the network: blocks start on multiples of it in y and x
  std::int64_t margin = 92;           ///< of the network
  std::int64_t voxel_bytes = 1;       ///< of raw and result together
  std::int64_t context = 0;           ///< sections read before and after the predicted ones
};

/// A chunk shape for the result: the input's, where its sides in y and x are multiples of the alignment (or
/// span the volume) and its size is between 16 KiB and 16 MiB, so that blocks fit both grids; otherwise
/// 256 x 256 or 128 x 128, as deep as the input's chunks.
Index3 choose_output_chunk(const BlockChoice& choice);

/// A block shape, in whole chunks: one layer of input chunks deep, as wide as keeps reading the margin
/// cheap (up to 2048 pixels, or a whole section of up to 3072), deeper while there would be over 512 blocks
/// or where neighbouring layers are read for context.
Index3 choose_block_shape(const BlockChoice& choice, const Index3& output_chunk);

/// Throws UsageError unless `block` consists of whole chunks and starts on the alignment in y and x.
void require_fitting_block(const Index3& block, const Index3& output_chunk, const BlockChoice& choice);

}  // namespace tessera
