#include "workers/segment/relabelling.h"

#include <cassert>

namespace tessera {
namespace {

template <class T>
void relabel(const BlockPieces& pieces, std::span<const std::uint64_t> id_of_piece,
             const BlockWeights& weights, std::int32_t background_below, std::span<T> to) {
  const Index3 sides = weights.box.shape();
  std::size_t at = 0;
  for (std::int64_t z = 0; z < sides.z; ++z) {
    for (std::int64_t y = 0; y < sides.y; ++y) {
      const std::int32_t* row = weights.weight.data() + weights.row(z, y);
      for (std::int64_t x = 0; x < sides.x; ++x, ++at) {
        const std::uint32_t piece = pieces.piece[at];
        const bool is_zero = piece == BlockPieces::kNone || row[x] < background_below;
        to[at] = is_zero ? T{0} : static_cast<T>(id_of_piece[piece]);
      }
    }
  }
}

}  // namespace

VoxelBuffer relabelled_block(const BlockPieces& pieces, std::span<const std::uint64_t> id_of_piece,
                             const BlockWeights& weights, std::int32_t background_below, VoxelType type) {
  assert(type == VoxelType::uint64 || type == VoxelType::uint32);
  VoxelBuffer voxels(type, weights.box.shape());
  if (type == VoxelType::uint64) {
    relabel(pieces, id_of_piece, weights, background_below, voxels.as<std::uint64_t>());
  } else {
    relabel(pieces, id_of_piece, weights, background_below, voxels.as<std::uint32_t>());
  }
  return voxels;
}

}  // namespace tessera
