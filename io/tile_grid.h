#pragma once

#include <cstdint>
#include <vector>

#include "io/box.h"
#include "io/network_geometry.h"

namespace tessera {

/// One network input: of its answer only the part over `core` is kept, so every voxel is written once.
struct Tile {
  Box core;           ///< voxels this tile answers for, in volume coordinates; one section
  Box input;          ///< what the network reads; may reach outside the volume, where it is mirrored
  Box core_in_output; ///< the same core, in the coordinates of the network's output (z is 0)
};

/// Cuts blocks into tiles. Tiled results equal those of the network run once over the whole section, mirrored
/// by the margin all around (valid), or mirrored at the far ends up to a multiple of the alignment (same; the
/// zero padding is seen at the section's true border only, as when the section is predicted whole).
class TileGrid {
 public:
  /// `tile_input`: legal input sides along y and x (z is ignored). `context`: sections read before and
  /// after the predicted one. Errors: UsageError for an illegal side, naming legal ones.
  TileGrid(const NetworkGeometry& geometry, const Index3& volume_shape, const Index3& tile_input,
           std::int64_t context);

  /// The sides of a full tile's core; z is 1.
  Index3 core_shape() const { return core_shape_; }
  const Index3& tile_input() const { return tile_input_; }
  const NetworkGeometry& geometry() const { return geometry_; }
  std::int64_t context() const { return context_; }

  /// The tiles of a block, section by section. The block starts on multiples of the alignment in y and x
  /// and, unless it ends where the volume does, ends on them.
  std::vector<Tile> tiles_of(const Box& block) const;

  /// Input pixels computed per output pixel when the whole volume is covered in blocks of `block_shape`.
  double redundancy(const Index3& block_shape) const;

 private:
  /// Along one axis: the input range for a core range, of a volume of `side`.
  struct Range {
    std::int64_t begin, end;
  };
  Range input_range(Range core, std::int64_t side) const;

  NetworkGeometry geometry_;
  Index3 volume_shape_, tile_input_, core_shape_;
  std::int64_t context_;
};

/// For the network run once over a whole section: the input box of section z.
Tile whole_section_tile(const NetworkGeometry& geometry, const Index3& volume_shape, std::int64_t z,
                        std::int64_t context);

}  // namespace tessera
