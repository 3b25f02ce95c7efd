#pragma once

#include <cstdint>
#include <optional>

#include "io/geometry/box.h"
#include "io/geometry/tile_grid.h"
#include "workers/infer/averaging.h"
#include "workers/network/network_traits.h"

namespace tessera {

/// What the choice of a tile depends on beside the network and the shapes.
struct TileDemand {
  std::int64_t budget = 0;  ///< bytes for one tile's activations
  Precision precision = Precision::float32;
  bool cuda = false;
  Averaging averaging = Averaging::none;
  std::int64_t blend_overlap = 0;
};

/// Bytes that one tile of these input sides needs: of the largest of its rotated versions where there are
/// some; a 'same' network's input is clipped to the section.
std::int64_t memory_of_tile(const NetworkTraits& network, const Index3& tile_input,
                            const Index3& volume_shape, const TileDemand& demand);

/// The largest legal tile that a block of `block_shape` in a volume of `volume_shape` can use within the
/// budget: the block is split evenly, as little as possible; on a GPU, where all tiles are of one size, of
/// the largest ones the one that costs least over the volume. z of the result is 1. Errors: UsageError when
/// not even the smallest tile fits, naming what to lower.
Index3 choose_tile(const NetworkTraits& network, const Index3& block_shape, const Index3& volume_shape,
                   const TileDemand& demand);

/// The next choice when `tile_input` turned out to be too large for the memory: of at most half its pixels.
/// Nothing when there is no such one.
std::optional<Index3> next_smaller_tile(const NetworkTraits& network, const Index3& tile_input,
                                        const Index3& block_shape, const Index3& volume_shape,
                                        const TileDemand& demand);

/// Throws UsageError when tiles of these input sides need more than the budget, or more elements in one
/// tensor than LibTorch's 2^31.
void require_tile_fits(const NetworkTraits& network, const Index3& tile_input, const Index3& volume_shape,
                       const TileDemand& demand);

/// How tiles of `tile_input` are laid out for these demands: on a GPU, whose kernels sum in another order for
/// other sizes, with equal inputs.
TileGrid make_tile_grid(const NetworkTraits& network, const Index3& volume_shape, const Index3& tile_input,
                        std::int64_t context, const TileDemand& demand);

}  // namespace tessera
