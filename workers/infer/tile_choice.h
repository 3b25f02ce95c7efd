#pragma once

#include <cstdint>
#include <optional>

#include "io/geometry/box.h"
#include "io/geometry/tile_grid.h"
#include "workers/infer/averaging.h"
#include "workers/network/network_traits.h"

namespace tessera {

/// The parameters of the tile choice, in addition to the network and the shapes.
struct TileDemand {
  std::int64_t budget = 0;  ///< bytes for one tile's activations
  Precision precision = Precision::float32;
  bool cuda = false;
  Averaging averaging = Averaging::none;
  std::int64_t blend_overlap = 0;
};

/// Bytes of memory for one tile of these input sides. With rotated versions: of the largest one. A 'same'
/// network's input is clipped to the section.
std::int64_t memory_of_tile(const NetworkTraits& network, const Index3& tile_input,
                            const Index3& volume_shape, const TileDemand& demand);

/// The largest legal tile that a block of `block_shape` in a volume of `volume_shape` can use within the
/// budget. The block is split evenly, into as few tiles as possible. On a GPU all tiles have one size; there
/// the cheapest over the volume is chosen among the largest ones. z of the result is 1. Errors: UsageError
/// when even the smallest tile does not fit, naming the settings to lower.
Index3 choose_tile(const NetworkTraits& network, const Index3& block_shape, const Index3& volume_shape,
                   const TileDemand& demand);

/// The next choice when `tile_input` does not fit the memory: at most half its pixels. Nothing when no such
/// tile exists.
std::optional<Index3> next_smaller_tile(const NetworkTraits& network, const Index3& tile_input,
                                        const Index3& block_shape, const Index3& volume_shape,
                                        const TileDemand& demand);

/// Errors: UsageError when tiles of these input sides need more than the budget, or when one tensor has more
/// than LibTorch's 2^31 elements.
void require_tile_fits(const NetworkTraits& network, const Index3& tile_input, const Index3& volume_shape,
                       const TileDemand& demand);

/// The grid of tiles of `tile_input`. On a GPU all inputs are of equal size, because its kernels use another
/// reduction order for another size.
TileGrid make_tile_grid(const NetworkTraits& network, const Index3& volume_shape, const Index3& tile_input,
                        std::int64_t context, const TileDemand& demand);

}  // namespace tessera
