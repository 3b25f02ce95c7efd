#pragma once

#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/network_geometry.h"

namespace tessera {

/// One network input: of its answer only the part over `core` is kept. Without blending every voxel is in one
/// core; with it, neighbouring cores overlap and are averaged with weights.
struct Tile {
  Box core;            ///< voxels this tile answers for, in volume coordinates; one section
  Box input;           ///< what the network reads; may reach outside the volume, where it is mirrored
  Box core_in_output;  ///< the same core, in the coordinates of the network's output (z is 0)
  Box cell;            ///< with blending: the tile's own cell of the lattice, which `core` is grown from
  std::int64_t overlap_reach = 0;  ///< with blending: pixels that answers reach beyond their cells
  Box read;  ///< all that a prediction looks at: `input`, and more where rotated versions need it
};

/// What tiles depend on beside the network and the volume.
struct TileGridOptions {
  std::int64_t context = 0;        ///< sections read before and after the predicted one
  std::int64_t blend_overlap = 0;  ///< pixels by which neighbouring cores overlap; 0: none, exact cropping
  std::int64_t beyond_core = 0;    ///< pixels beyond the core's sides that are read at least
  /// Short cores, at the far ends of blocks and volumes, have inputs of the full size, too: where kernels sum
  /// in another order for other sizes, all tiles answer alike.
  bool equal_inputs = false;
};

/// Cuts blocks into tiles. Tiled results equal those of the network run once over the whole section, mirrored
/// by the margin all around (valid), or mirrored at the far ends up to a multiple of the alignment (same; the
/// zero padding is seen at the section's true border only, as when the section is predicted whole).
class TileGrid {
 public:
  /// `tile_input`: legal input sides along y and x (z is ignored). Errors: UsageError for an illegal side,
  /// naming legal ones, or an overlap that leaves no step from tile to tile.
  TileGrid(const NetworkGeometry& geometry, const Index3& volume_shape, const Index3& tile_input,
           const TileGridOptions& options);
  TileGrid(const NetworkGeometry& geometry, const Index3& volume_shape, const Index3& tile_input,
           std::int64_t context)
      : TileGrid(geometry, volume_shape, tile_input, TileGridOptions{context, 0, 0}) {}

  /// The sides of a full tile's core; z is 1. With blending, of its cell.
  Index3 core_shape() const { return core_shape_; }
  const Index3& tile_input() const { return tile_input_; }
  /// Of the network; along z with the margin of the context.
  const NetworkGeometry& geometry() const { return geometry_; }
  const TileGridOptions& options() const { return options_; }
  std::int64_t context() const { return options_.context; }

  /// The tiles of a block, section by section. Tiles start on multiples of the alignment in y and x, counted
  /// from the volume's origin, wherever the block starts. Without blending their cores cover the block once.
  /// With it they come from one lattice over the whole volume, so that each voxel is averaged over the same
  /// tiles whichever block it is in.
  std::vector<Tile> tiles_of(const Box& block) const;

  /// Input pixels computed per output pixel when the whole volume is covered in blocks of `block_shape`.
  double redundancy(const Index3& block_shape) const;

 private:
  /// Along one axis: the input range for a core range, of a volume of `side`.
  struct Range {
    std::int64_t begin, end;
  };
  /// Half the overlap, by which a core grows on each side, in whole steps of the alignment.
  std::int64_t grown_by(int axis) const;
  /// `grow_back`: an input that is made larger than needed grows towards the axis' begin.
  Range input_range(Range core, int axis, bool grow_back) const;
  /// The tiles along one axis: cores, and the cells they are grown from.
  struct Piece {
    Range core, cell, input;
  };
  std::vector<Piece> pieces(Range block, int axis) const;

  NetworkGeometry geometry_;
  Index3 volume_shape_, tile_input_, core_shape_;
  TileGridOptions options_;
};

/// What of the volume these tiles need: every voxel that their mirrored inputs show.
Box raw_box_for(const std::vector<Tile>& tiles, const Index3& volume_shape);

/// For the network run once over a whole section: the input box of section z.
Tile whole_section_tile(const NetworkGeometry& geometry, const Index3& volume_shape, std::int64_t z,
                        std::int64_t context);

}  // namespace tessera
