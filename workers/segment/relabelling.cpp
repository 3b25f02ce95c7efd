#include "workers/segment/relabelling.h"

#include <cassert>

namespace tessera {
namespace {

template <class T>
void relabel(const BlockPieces& pieces, std::span<const std::uint64_t> id_of_piece, std::span<T> to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    const std::uint32_t piece = pieces.piece[i];
    to[i] = piece == BlockPieces::kNone ? T{0} : static_cast<T>(id_of_piece[piece]);
  }
}

template <class T>
void clear_background(const BlockWeights& weights, std::int32_t background_below, std::span<T> to) {
  const Index3 sides = weights.box.shape();
  std::size_t at = 0;
  for (std::int64_t z = 0; z < sides.z; ++z) {
    for (std::int64_t y = 0; y < sides.y; ++y) {
      const std::int32_t* row = weights.weight.data() + weights.row(z, y);
      for (std::int64_t x = 0; x < sides.x; ++x, ++at) {
        if (row[x] < background_below) to[at] = 0;
      }
    }
  }
}

}  // namespace

VoxelBuffer relabelled_block(const Box& block, const BlockPieces& pieces,
                             std::span<const std::uint64_t> id_of_piece, const BlockWeights* weights,
                             std::int32_t background_below, VoxelType type) {
  assert(type == VoxelType::uint64 || type == VoxelType::uint32);
  VoxelBuffer voxels(type, block.shape());
  const auto fill = [&]<class T>(std::span<T> to) {
    relabel(pieces, id_of_piece, to);
    if (weights != nullptr && background_below > 0) clear_background(*weights, background_below, to);
  };
  if (type == VoxelType::uint64) {
    fill(voxels.as<std::uint64_t>());
  } else {
    fill(voxels.as<std::uint32_t>());
  }
  return voxels;
}

}  // namespace tessera
