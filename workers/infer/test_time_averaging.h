#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/tile_grid.h"
#include "workers/infer/averaging.h"

namespace tessera {

/// Symmetry `index` (0 to 7; 0 is the identity) of the last two dimensions, as a view, and its inverse.
at::Tensor apply_symmetry(const at::Tensor& x, int index);
at::Tensor undo_symmetry(const at::Tensor& x, int index);

/// One rotated version of a tile. The rotated section has its own pixel grid, which turns about the volume's
/// origin (y = 0, x = 0) and is the same for every tile, and its tiles start on multiples of the network's
/// alignment. So neighbouring tiles see the same interpolated pixels in the same pooling phase: rotated
/// versions have no seams.
struct RotatedTile {
  double sine = 0, cosine = 1;
  Box input;   ///< what the network reads, in the rotated grid; z is the tile's
  Box output;  ///< what it answers, in the rotated grid
  Box source;  ///< the upright box of the volume that `input` shows; may reach outside the volume
};
constexpr int kRotations = 7;

/// Version `index` (1 to 6; 0 is the tile itself) of `tile`.
RotatedTile rotated_tile(const Tile& tile, int index, const NetworkGeometry& geometry, std::int64_t context);

/// How far beyond its core's sides a tile of `core_side` needs the volume for any rotation, and the side of
/// the largest input that the network then sees.
struct RotationReach {
  std::int64_t beyond_core = 0, input_side = 0;
};
RotationReach rotation_reach(const NetworkGeometry& geometry, std::int64_t core_side);

/// `source` (1, channels, h, w), float32, which shows rotated.source, at the pixels of rotated.input:
/// bicubic.
at::Tensor rotate_in(const at::Tensor& source, const RotatedTile& rotated);
/// `answer` (classes, h, w), which covers rotated.output, at the pixels of the upright `core`: bilinear.
at::Tensor rotate_back(const at::Tensor& answer, const RotatedTile& rotated, const Box& core);

}  // namespace tessera
