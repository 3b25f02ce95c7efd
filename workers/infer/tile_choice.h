#pragma once

#include <cstdint>

#include "io/box.h"
#include "workers/network/unet_options.h"

namespace tessera {

/// The largest legal tile that a block of `block_shape` in a volume of `volume_shape` can use within
/// `budget` bytes of activations of `value_bytes` each: the block is split evenly, as little as possible.
/// z of the result is 1. Errors: UsageError when not even the smallest tile fits, naming what to lower.
Index3 choose_tile(const UNetOptions& options, const Index3& block_shape, const Index3& volume_shape,
                   std::int64_t budget, std::int64_t value_bytes);

/// Throws UsageError when tiles of these input sides need more than `budget` bytes, or more elements in one
/// tensor than LibTorch's 2^31.
void require_tile_fits(const UNetOptions& options, const Index3& tile_input, std::int64_t budget,
                       std::int64_t value_bytes);

}  // namespace tessera
