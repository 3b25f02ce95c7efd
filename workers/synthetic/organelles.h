#pragma once

#include <cstdint>
#include <vector>

#include "workers/synthetic/cell_diagram.h"
#include "workers/synthetic/smooth_noise.h"

namespace tessera {

/// Adds organelles to `value` (grey values, one per pixel of the window): mitochondria with double outline
/// and cristae, endoplasmic reticulum, vesicles, microtubules. Many are as dark and thin as a membrane.
void paint_organelles(std::uint64_t seed, std::int64_t z, const SectionWindow& window,
                      const std::vector<CellPlace>& places, std::vector<float>& value);

}  // namespace tessera
