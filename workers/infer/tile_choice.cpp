#include "workers/infer/tile_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "workers/infer/test_time_averaging.h"

namespace tessera {
namespace {

/// The actual network input. A 'same' network's input is clipped to the section; rotated versions are larger.
Index3 seen_by_network(const NetworkTraits& network, const Index3& tile, const Index3& volume_shape,
                       Averaging averaging) {
  const NetworkGeometry& geometry = network.geometry;
  Index3 seen{1, 0, 0};
  for (int axis = 1; axis < 3; ++axis) {
    seen[axis] = geometry.padding == Padding::valid
                     ? tile[axis]
                     : std::min(tile[axis], round_up(volume_shape[axis], geometry.alignment));
  }
  if (averaging == Averaging::rotations7) {
    const std::int64_t core = std::max(geometry.core_side(tile.y), geometry.core_side(tile.x));
    const std::int64_t side = rotation_reach(geometry, core).input_side;
    seen.y = std::max(seen.y, side);
    seen.x = std::max(seen.x, side);
  }
  return seen;
}

bool fits(const NetworkTraits& network, const Index3& tile, const Index3& volume_shape,
          const TileDemand& demand) {
  constexpr std::int64_t kMostElements = std::int64_t{1} << 31;  // of one tensor, in LibTorch's kernels
  const Index3 seen = seen_by_network(network, tile, volume_shape, demand.averaging);
  return network.widest_layer() * seen.y * seen.x < kMostElements &&
         memory_of_tile(network, tile, volume_shape, demand) <= demand.budget;
}

/// With blending, a tile's weighted region is larger than its cell by this much on each axis.
std::int64_t grown_by(const NetworkGeometry& geometry, std::int64_t blend_overlap) {
  return blend_overlap == 0 ? 0 : 2 * round_up(ceil_div(blend_overlap, 2), geometry.alignment);
}

std::int64_t smallest_tile_side(const NetworkGeometry& geometry, std::int64_t blend_overlap) {
  const std::int64_t grown = grown_by(geometry, blend_overlap);
  return geometry.input_side_for(std::max(geometry.alignment, grown) + grown);
}

/// The first acceptable tile, in order of decreasing size. The block is split evenly, into as few tiles as
/// possible.
template <class IsAcceptable>
std::optional<Index3> largest_tile(const NetworkTraits& network, const Index3& block_shape,
                                   const Index3& volume_shape, const TileDemand& demand,
                                   const IsAcceptable& is_acceptable) {
  const NetworkGeometry& geometry = network.geometry;
  const std::int64_t grown = grown_by(geometry, demand.blend_overlap),
                     smallest = std::max(geometry.alignment, grown);
  Index3 pieces{1, 1, 1};
  for (;;) {
    Index3 cell{1, 0, 0}, tile{1, 0, 0};
    for (int axis = 1; axis < 3; ++axis) {
      cell[axis] = round_up(ceil_div(std::min(block_shape[axis], volume_shape[axis]), pieces[axis]),
                            geometry.alignment);
      tile[axis] = geometry.input_side_for(std::max(cell[axis], grown) + grown);
    }
    if (is_acceptable(tile)) return tile;
    if (cell.y <= smallest && cell.x <= smallest) return std::nullopt;
    ++(cell.y >= cell.x ? pieces.y : pieces.x);
  }
}

}  // namespace

std::int64_t memory_of_tile(const NetworkTraits& network, const Index3& tile, const Index3& volume_shape,
                            const TileDemand& demand) {
  const Index3 seen = seen_by_network(network, tile, volume_shape, demand.averaging);
  // Interpolation stores coordinates, weights and indices of every pixel. Averaging stores sums and
  // transformed copies.
  const std::int64_t more = demand.averaging == Averaging::rotations7    ? 220
                            : demand.averaging == Averaging::symmetries8 ? 24
                                                                         : 0;
  return network.tile_memory(seen.y, seen.x, demand.precision, demand.cuda) + more * seen.y * seen.x;
}

Index3 choose_tile(const NetworkTraits& network, const Index3& block_shape, const Index3& volume_shape,
                   const TileDemand& demand) {
  std::optional<Index3> best;
  double least = std::numeric_limits<double>::infinity();
  int fitting = 0;
  largest_tile(network, block_shape, volume_shape, demand, [&](const Index3& tile) {
    if (!fits(network, tile, volume_shape, demand)) return false;
    // Among equal inputs, the largest ones are not always the cheapest: the last block may be short.
    constexpr int kTried = 12;
    const double cost = make_tile_grid(network, volume_shape, tile, 0, demand).redundancy(block_shape);
    if (cost < least) best = tile;
    least = std::min(least, cost);
    return !demand.cuda || ++fitting == kTried;
  });
  if (best) return *best;
  const std::int64_t side = smallest_tile_side(network.geometry, demand.blend_overlap);
  const Index3 tile{1, side, side};
  throw UsageError(fmt::format(
      "the network does not fit the memory: its smallest tile, {} x {} pixels, needs {}, the budget is {}: "
      "lower "
      "model.base_filters or model.depth, raise infer.memory_budget_mib, or give each rank more memory",
      tile.y, tile.x, bytes_text(memory_of_tile(network, tile, volume_shape, demand)),
      bytes_text(demand.budget)));
}

std::optional<Index3> next_smaller_tile(const NetworkTraits& network, const Index3& tile_input,
                                        const Index3& block_shape, const Index3& volume_shape,
                                        const TileDemand& demand) {
  return largest_tile(network, block_shape, volume_shape, demand,
                      [&](const Index3& tile) { return 2 * tile.y * tile.x <= tile_input.y * tile_input.x; });
}

void require_tile_fits(const NetworkTraits& network, const Index3& tile, const Index3& volume_shape,
                       const TileDemand& demand) {
  if (fits(network, tile, volume_shape, demand)) return;
  throw UsageError(fmt::format(
      "infer.tile: {} x {} pixels need {}, the budget is {}: lower infer.tile (or set it to auto), "
      "raise infer.memory_budget_mib, or give each rank more memory",
      tile.y, tile.x, bytes_text(memory_of_tile(network, tile, volume_shape, demand)),
      bytes_text(demand.budget)));
}

TileGrid make_tile_grid(const NetworkTraits& network, const Index3& volume_shape, const Index3& tile_input,
                        std::int64_t context, const TileDemand& demand) {
  TileGridOptions options{
      .context = context, .blend_overlap = demand.blend_overlap, .equal_inputs = demand.cuda};
  if (demand.averaging == Averaging::rotations7) {
    const std::int64_t core =
        std::max(network.geometry.core_side(tile_input.y), network.geometry.core_side(tile_input.x));
    options.beyond_core = rotation_reach(network.geometry, core).beyond_core;
  }
  return TileGrid(network.geometry, volume_shape, tile_input, options);
}

}  // namespace tessera
