#include "io/tile_grid.h"

#include <fmt/format.h>

#include <cassert>

#include "io/error.h"

namespace tessera {

TileGrid::TileGrid(const NetworkGeometry& geometry, const Index3& volume_shape, const Index3& tile_input,
                   std::int64_t context)
    : geometry_(geometry), volume_shape_(volume_shape), tile_input_(tile_input), context_(context) {
  core_shape_.z = 1;
  for (int axis = 1; axis < 3; ++axis) {
    const std::int64_t side = tile_input[axis];
    core_shape_[axis] = geometry.core_side(side);
    if (!geometry.is_legal_input(side) || core_shape_[axis] < geometry.alignment) {
      throw UsageError(fmt::format("a tile of {} pixels does not fit the network: {}", side,
                                   geometry.legal_sides_text(side)));
    }
  }
}

TileGrid::Range TileGrid::input_range(Range core, std::int64_t side) const {
  if (geometry_.padding == Padding::valid) {
    const std::int64_t begin = core.begin - geometry_.margin;
    return {begin, begin + geometry_.input_side_for(core.end - core.begin)};
  }
  const std::int64_t far_end = round_up(side, geometry_.alignment);
  return {std::max<std::int64_t>(0, core.begin - geometry_.margin),
          std::min(far_end, round_up(core.end, geometry_.alignment) + geometry_.margin)};
}

std::vector<Tile> TileGrid::tiles_of(const Box& block) const {
  for (int axis = 1; axis < 3; ++axis) {
    assert(block.begin[axis] % geometry_.alignment == 0);
    assert(block.end[axis] % geometry_.alignment == 0 || block.end[axis] == volume_shape_[axis]);
  }
  std::vector<Tile> tiles;
  for (std::int64_t z = block.begin.z; z < block.end.z; ++z) {
    for (std::int64_t y = block.begin.y; y < block.end.y; y += core_shape_.y) {
      for (std::int64_t x = block.begin.x; x < block.end.x; x += core_shape_.x) {
        Tile tile;
        tile.core = {{z, y, x},
                     {z + 1, std::min(y + core_shape_.y, block.end.y), std::min(x + core_shape_.x, block.end.x)}};
        const Range rows = input_range({tile.core.begin.y, tile.core.end.y}, volume_shape_.y);
        const Range columns = input_range({tile.core.begin.x, tile.core.end.x}, volume_shape_.x);
        tile.input = {{z - context_, rows.begin, columns.begin}, {z + context_ + 1, rows.end, columns.end}};
        const std::int64_t lost = geometry_.padding == Padding::valid ? geometry_.margin : 0;
        tile.core_in_output = tile.core.relative_to({z, rows.begin + lost, columns.begin + lost});
        tiles.push_back(tile);
      }
    }
  }
  return tiles;
}

double TileGrid::redundancy(const Index3& block_shape) const {
  // Rows and columns are independent: the sum over all tiles is the product of the sums along the axes.
  double product = 1;
  for (int axis = 1; axis < 3; ++axis) {
    const std::int64_t side = volume_shape_[axis];
    std::int64_t read = 0;
    for (std::int64_t begin = 0; begin < side; begin += block_shape[axis]) {
      const std::int64_t end = std::min(begin + block_shape[axis], side);
      for (std::int64_t at = begin; at < end; at += core_shape_[axis]) {
        const Range range = input_range({at, std::min(at + core_shape_[axis], end)}, side);
        read += range.end - range.begin;
      }
    }
    product *= static_cast<double>(read) / static_cast<double>(side);
  }
  return product;
}

Tile whole_section_tile(const NetworkGeometry& geometry, const Index3& volume_shape, std::int64_t z,
                        std::int64_t context) {
  Index3 side{1, 0, 0};
  for (int axis = 1; axis < 3; ++axis) {
    side[axis] = geometry.input_side_for(round_up(volume_shape[axis], geometry.alignment));
  }
  const TileGrid grid(geometry, volume_shape, side, context);
  return grid.tiles_of({{z, 0, 0}, {z + 1, volume_shape.y, volume_shape.x}}).front();
}

}  // namespace tessera
