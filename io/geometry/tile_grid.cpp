#include "io/geometry/tile_grid.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"
#include "io/geometry/mirror.h"

namespace tessera {

TileGrid::TileGrid(const NetworkGeometry& geometry, const Index3& volume_shape, const Index3& tile_input,
                   const TileGridOptions& options)
    : geometry_(geometry), volume_shape_(volume_shape), tile_input_(tile_input), options_(options) {
  core_shape_.z = 1;
  if (geometry_.z == section_geometry(0)) geometry_.z = section_geometry(options.context);
  for (int axis = 1; axis < 3; ++axis) {
    const AxisGeometry& along = geometry_[axis];
    const std::int64_t side = tile_input[axis];
    core_shape_[axis] = along.core_side(side);
    if (!along.is_legal_input(side) || core_shape_[axis] < along.alignment) {
      throw UsageError(fmt::format("a tile of {} pixels does not fit the network: {}", side,
                                   along.legal_sides_text(side)));
    }
    if (options.blend_overlap == 0) continue;
    const std::int64_t grown = grown_by(axis);
    core_shape_[axis] -= 2 * grown;
    if (core_shape_[axis] < 2 * grown) {
      throw UsageError(fmt::format(
          "a tile of {} pixels answers for {}: too few to overlap its neighbours by {} (lower the "
          "overlap, or raise the tile)",
          side, along.core_side(side), options.blend_overlap));
    }
  }
}

std::int64_t TileGrid::grown_by(int axis) const {
  return round_up(ceil_div(options_.blend_overlap, 2), geometry_[axis].alignment);
}

TileGrid::Range TileGrid::input_range(Range core, int axis, bool grow_back) const {
  const std::int64_t full = tile_input_[axis];
  const AxisGeometry& along = geometry_[axis];
  if (along.padding == Padding::valid) {
    const std::int64_t begin = core.begin - along.margin,
                       end = begin + along.input_side_for(core.end - core.begin);
    if (!options_.equal_inputs) return {begin, end};
    return grow_back ? Range{end - full, end} : Range{begin, begin + full};
  }
  const std::int64_t far_end = round_up(volume_shape_[axis], along.alignment);
  const Range needed{std::max<std::int64_t>(0, core.begin - along.margin),
                     std::min(far_end, round_up(core.end, along.alignment) + along.margin)};
  if (!options_.equal_inputs) return needed;
  // Inside the section: only its true border may see the zero padding.
  const std::int64_t length = std::min(full, far_end), begin = std::min(needed.begin, far_end - length);
  return {begin, begin + length};
}

std::vector<TileGrid::Piece> TileGrid::pieces(Range block, int axis) const {
  const std::int64_t side = volume_shape_[axis], step = core_shape_[axis];
  std::vector<Piece> all;
  if (options_.blend_overlap == 0) {
    for (std::int64_t at = round_down(block.begin, geometry_[axis].alignment); at < block.end; at += step) {
      const Range cell{at, std::min(at + step, block.end)};
      // The tile before reads the pixels before this one anyway.
      const bool grow_back = at > block.begin;
      all.push_back(
          {{std::max(cell.begin, block.begin), cell.end}, cell, input_range(cell, axis, grow_back)});
    }
    return all;
  }
  const std::int64_t grown = grown_by(axis);
  const std::int64_t first = std::max<std::int64_t>(0, (block.begin - grown) / step);
  for (std::int64_t at = first * step; at < std::min(side, block.end + grown); at += step) {
    const Range cell{at, std::min(at + step, side)};
    const Range whole{std::max<std::int64_t>(0, at - grown), std::min(at + step + grown, side)};
    const Range core{std::max(whole.begin, block.begin), std::min(whole.end, block.end)};
    // The input is that of the whole output, so that the tile has the same output bits for every block.
    if (core.begin < core.end) all.push_back({core, cell, input_range(whole, axis, at > 0)});
  }
  return all;
}

std::vector<Tile> TileGrid::tiles_of(const Box& block) const {
  const std::vector<Piece> rows = pieces({block.begin.y, block.end.y}, 1),
                           columns = pieces({block.begin.x, block.end.x}, 2);
  const auto lost = [&](int axis) {
    return geometry_[axis].padding == Padding::valid ? geometry_[axis].margin : 0;
  };
  std::vector<Tile> tiles;
  for (std::int64_t z = block.begin.z; z < block.end.z; ++z) {
    for (const Piece& row : rows) {
      for (const Piece& column : columns) {
        Tile tile;
        tile.core = {{z, row.core.begin, column.core.begin}, {z + 1, row.core.end, column.core.end}};
        tile.cell = {{z, row.cell.begin, column.cell.begin}, {z + 1, row.cell.end, column.cell.end}};
        tile.input = {{z - geometry_.z.margin, row.input.begin, column.input.begin},
                      {z + geometry_.z.margin + 1, row.input.end, column.input.end}};
        tile.core_in_output =
            tile.core.relative_to({z, row.input.begin + lost(1), column.input.begin + lost(2)});
        tile.overlap_reach = grown_by(1);
        tile.read = tile.input;
        for (int axis = 1; axis < 3; ++axis) {
          if (options_.beyond_core == 0) break;
          tile.read.begin[axis] =
              std::min(tile.read.begin[axis], tile.core.begin[axis] - options_.beyond_core);
          tile.read.end[axis] = std::max(tile.read.end[axis], tile.core.end[axis] + options_.beyond_core);
        }
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
    std::int64_t computed = 0;
    for (std::int64_t begin = 0; begin < side; begin += block_shape[axis]) {
      for (const Piece& piece : pieces({begin, std::min(begin + block_shape[axis], side)}, axis)) {
        computed += piece.input.end - piece.input.begin;
      }
    }
    product *= static_cast<double>(computed) / static_cast<double>(side);
  }
  return product;
}

Box raw_box_for(const std::vector<Tile>& tiles, const Index3& volume_shape) {
  Box all = tiles.front().read;
  for (const Tile& tile : tiles) {
    for (int axis = 0; axis < 3; ++axis) {
      all.begin[axis] = std::min(all.begin[axis], tile.read.begin[axis]);
      all.end[axis] = std::max(all.end[axis], tile.read.end[axis]);
    }
  }
  return mirrored_source(all, volume_shape);
}

Tile whole_section_tile(const NetworkGeometry& geometry, const Index3& volume_shape, std::int64_t z,
                        std::int64_t context) {
  Index3 side{1, 0, 0};
  for (int axis = 1; axis < 3; ++axis) {
    side[axis] = geometry[axis].input_side_for(round_up(volume_shape[axis], geometry[axis].alignment));
  }
  const TileGrid grid(geometry, volume_shape, side, TileGridOptions{context, 0, 0});
  return grid.tiles_of({{z, 0, 0}, {z + 1, volume_shape.y, volume_shape.x}}).front();
}

}  // namespace tessera
