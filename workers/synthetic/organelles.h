#pragma once

#include <cstdint>
#include <vector>

#include "workers/synthetic/cell_diagram.h"
#include "workers/synthetic/smooth_noise.h"

namespace tessera {

/// Darkens and brightens `value` (grey values, one per pixel of the window) by what lies inside cells:
/// mitochondria with their double outline and cristae, endoplasmic reticulum, vesicles, microtubules. Much of
/// it is as dark and thin as a membrane, and none of it is one.
void paint_organelles(std::uint64_t seed, std::int64_t z, const SectionWindow& window,
                      const std::vector<CellPlace>& places, std::vector<float>& value);

}  // namespace tessera
