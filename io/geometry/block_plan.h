#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/geometry/box.h"

namespace tessera {

/// The partition of a volume into blocks, the units of scheduling, reading, writing and restart. Block ids
/// are row-major over the grid of blocks.
class BlockPlan {
 public:
  BlockPlan() = default;
  /// Both shapes are at least 1 voxel along each axis.
  BlockPlan(const Index3& volume_shape, const Index3& block_shape);
  /// The blocks of a region of a volume. The first block starts at the region's begin.
  static BlockPlan of_region(const Box& region, const Index3& block_shape);
  /// Why no plan can have these numbers, which a file says: a side that is empty, negative or beyond 2^40
  /// voxels, or more than 2^31 blocks. "" where one can.
  static std::string problem_of(const Box& region, const Index3& block_shape);

  const Box& region() const { return region_; }
  const Index3& block_shape() const { return block_shape_; }
  std::int64_t count() const { return volume_of(grid_); }
  /// The voxels of block `id`, in volume coordinates, clipped to the region.
  Box block(std::int64_t id) const;
  /// All block ids: the largest blocks first, neighbours next to each other.
  std::vector<std::int64_t> hand_out_order() const;

 private:
  Box region_;
  Index3 block_shape_, grid_;
};

/// What the choice of chunks and blocks depends on. The number of ranks is not among it, so that the tiles
/// and every byte of the result are the same for any number of ranks.
struct BlockChoice {
  Index3 volume_shape;
  std::optional<Index3> input_chunk;  ///< of the raw volume
  std::int64_t alignment = 16;   ///< of the network, in pixels: blocks start on multiples of it in y and x
  std::int64_t margin = 92;      ///< of the network, in pixels
  std::int64_t voxel_bytes = 1;  ///< bytes of a voxel of raw volume and result together
  std::int64_t context = 0;      ///< sections read before and after the predicted ones
};

/// The chunk shape of the result. It is the input's if its sides in y and x are multiples of the alignment
/// (or span the volume) and it has 16 Ki to 16 Mi voxels: blocks then fit both grids. Otherwise it is 256 x
/// 256 or 128 x 128 pixels, as deep as the input's chunks.
Index3 choose_output_chunk(const BlockChoice& choice);

/// The block shape, in whole chunks. A block is one layer of input chunks deep, and wide enough for a cheap
/// margin: up to 2048 pixels, or a whole section of up to 3072. It is deeper when there would be over 512
/// blocks, or when neighbouring layers are read for context.
Index3 choose_block_shape(const BlockChoice& choice, const Index3& output_chunk);

/// Errors: UsageError unless `block` consists of whole chunks and starts on the alignment in y and x.
void require_fitting_block(const Index3& block, const Index3& output_chunk, const BlockChoice& choice);

}  // namespace tessera
