#pragma once

#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/network_geometry.h"

namespace tessera {

/// One input of the network. Of its output, only the part over `core` is kept. Without blending, every voxel
/// is in exactly one core; with blending, neighbouring cores overlap and are averaged with weights.
struct Tile {
  Box core;                        ///< voxels that the tile predicts, in volume coordinates; one section
  Box input;                       ///< voxels of the network's input; outside the volume they are mirrored
  Box core_in_output;              ///< the core in coordinates of the network's output (z is 0)
  Box cell;                        ///< with blending: the cell of the lattice that `core` is grown from
  std::int64_t overlap_reach = 0;  ///< with blending: pixels by which outputs exceed their cells
  Box read;                        ///< `input`, and more where rotated versions need it
};

/// What tiles depend on, apart from the network and the volume.
struct TileGridOptions {
  std::int64_t context = 0;        ///< sections read before and after the predicted one
  std::int64_t blend_overlap = 0;  ///< pixels by which neighbouring cores overlap; 0: none, exact cropping
  std::int64_t beyond_core = 0;    ///< least number of pixels read beyond each side of the core
  /// Short cores, at the far ends of blocks and volumes, have inputs of the full size too. Kernels that are
  /// not shape-invariant then give the same output for all tiles.
  bool equal_inputs = false;
};

/// Partitions blocks into tiles. The tiled result equals that of the network run once over the whole section:
/// mirrored by the margin all around (valid padding), or mirrored at the far ends up to a multiple of the
/// alignment (same padding; only the section's true border sees the zero padding).
class TileGrid {
 public:
  /// `tile_input`: legal input sides along y and x (z is ignored). Errors: UsageError for an illegal side
  /// (with legal sides in the message) and for an overlap that leaves no step from tile to tile.
  TileGrid(const NetworkGeometry& geometry, const Index3& volume_shape, const Index3& tile_input,
           const TileGridOptions& options);
  TileGrid(const NetworkGeometry& geometry, const Index3& volume_shape, const Index3& tile_input,
           std::int64_t context)
      : TileGrid(geometry, volume_shape, tile_input, TileGridOptions{context, 0, 0}) {}

  /// The shape of a full tile's core (with blending: of its cell); z is 1.
  Index3 core_shape() const { return core_shape_; }
  const Index3& tile_input() const { return tile_input_; }
  /// Of the network; along z with the margin of the context.
  const NetworkGeometry& geometry() const { return geometry_; }
  const TileGridOptions& options() const { return options_; }
  std::int64_t context() const { return options_.context; }

  /// The tiles of a block, section by section. In y and x, tiles start on multiples of the alignment, counted
  /// from the volume's origin. Without blending, their cores cover the block exactly once. With blending,
  /// they come from one lattice over the whole volume: each voxel is averaged over the same tiles for every
  /// block shape.
  std::vector<Tile> tiles_of(const Box& block) const;

  /// Input pixels computed per output pixel when the whole volume is covered in blocks of `block_shape`.
  double redundancy(const Index3& block_shape) const;

 private:
  /// A range of pixels along one axis.
  struct Range {
    std::int64_t begin, end;
  };
  /// Half the overlap, rounded up to the alignment: a core grows by it on each side.
  std::int64_t grown_by(int axis) const;
  /// The input range of a core. `grow_back`: an input larger than needed grows towards the axis' begin.
  Range input_range(Range core, int axis, bool grow_back) const;
  /// One tile along one axis: its core, and the cell that the core is grown from.
  struct Piece {
    Range core, cell, input;
  };
  std::vector<Piece> pieces(Range block, int axis) const;

  NetworkGeometry geometry_;
  Index3 volume_shape_, tile_input_, core_shape_;
  TileGridOptions options_;
};

/// The box of the raw volume that holds every voxel of the tiles' mirrored inputs.
Box raw_box_for(const std::vector<Tile>& tiles, const Index3& volume_shape);

/// The one tile of section z when the network runs once over the whole section.
Tile whole_section_tile(const NetworkGeometry& geometry, const Index3& volume_shape, std::int64_t z,
                        std::int64_t context);

}  // namespace tessera
