#pragma once

#include <cstdint>
#include <vector>

#include "workers/infer/tile_predictor.h"

namespace tessera {

/// The weights of a tile along one axis at the positions [begin, end) of its core. The lattice assigns the
/// cell [cell_begin, cell_end) to the tile. The overlap extends `reach` pixels to both sides of the cell's
/// borders. Weights are above 0 and symmetric about a border, so two neighbours have equal weights there.
/// Linear: from 0 to 1 over the overlap. Gaussian: exp(-d^2 / (2 s^2)), where d is the depth into the
/// overlap, measured from inside, and s = reach / 2.
std::vector<float> blend_weights(Blending blending, std::int64_t begin, std::int64_t end,
                                 std::int64_t cell_begin, std::int64_t cell_end, std::int64_t reach);

}  // namespace tessera
