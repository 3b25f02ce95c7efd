#pragma once

#include <cstdint>
#include <vector>

#include "workers/infer/tile_predictor.h"

namespace tessera {

/// The weights of a tile along one axis at the positions [begin, end) of its core. It has the cell
/// [cell_begin, cell_end) of the lattice for its own; the overlap reaches `reach` pixels to both sides of the
/// cell's borders. Weights are above 0 and symmetric about a border, so that two neighbours weigh the same
/// there. Linear: from 0 to 1 over the overlap. Gaussian: exp(-d^2 / (2 s^2)) with d the depth into the
/// overlap seen from inside and s = reach / 2.
std::vector<float> blend_weights(Blending blending, std::int64_t begin, std::int64_t end,
                                 std::int64_t cell_begin, std::int64_t cell_end, std::int64_t reach);

}  // namespace tessera
