#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/tile_grid.h"
#include "workers/infer/averaging.h"

namespace tessera {

/// Symmetry `index` (0 to 7; 0 is the identity) of the last two dimensions, as a view. undo_symmetry() is its
/// inverse.
at::Tensor apply_symmetry(const at::Tensor& x, int index);
at::Tensor undo_symmetry(const at::Tensor& x, int index);

/// One rotated version of a tile. The rotated section has its own pixel grid, rotated about the volume's
/// origin (y = 0, x = 0) and identical for every tile. Its tiles start on multiples of the network's
/// alignment. So neighbouring tiles read the same interpolated pixels in the same pooling phase, and rotated
/// versions have no seams.
struct RotatedTile {
  double sine = 0, cosine = 1;
  Box input;   ///< the network's input, in the rotated grid; z is the tile's
  Box output;  ///< the network's output, in the rotated grid
  Box source;  ///< the axis-aligned box of the volume that contains `input`; may extend outside the volume
};
constexpr int kRotations = 7;

/// Version `index` (1 to 6; 0 is the tile itself) of `tile`.
RotatedTile rotated_tile(const Tile& tile, int index, const NetworkGeometry& geometry, std::int64_t context);

/// `beyond_core`: how far beyond its core a tile of `core_side` reads the volume, over all rotations.
/// `input_side`: the side of the largest rotated network input.
struct RotationReach {
  std::int64_t beyond_core = 0, input_side = 0;
};
RotationReach rotation_reach(const NetworkGeometry& geometry, std::int64_t core_side);

/// Samples `source` (1, channels, h, w), float32, which covers rotated.source, at the pixels of
/// rotated.input. Bicubic.
at::Tensor rotate_in(const at::Tensor& source, const RotatedTile& rotated);
/// Samples `output` (classes, h, w), which covers rotated.output, at the pixels of the axis-aligned `core`.
/// Bilinear.
at::Tensor rotate_back(const at::Tensor& output, const RotatedTile& rotated, const Box& core);

}  // namespace tessera
