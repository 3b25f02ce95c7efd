#pragma once

#include <cstdint>
#include <span>

#include "io/geometry/voxel_type.h"
#include "workers/segment/block_pieces.h"
#include "workers/segment/block_weights.h"

namespace tessera {

/// The voxels of the result in a block: the ids of the objects that the pieces belong to. Voxels that weigh
/// less than `background_below` are 0, unless `weights` is null. `id_of_piece`: of each piece. `type`:
/// uint64, or uint32, which must hold them.
VoxelBuffer relabelled_block(const Box& block, const BlockPieces& pieces,
                             std::span<const std::uint64_t> id_of_piece, const BlockWeights* weights,
                             std::int32_t background_below, VoxelType type);

}  // namespace tessera
