#include "workers/infer/blend_weights.h"

#include <algorithm>
#include <cmath>

namespace tessera {

std::vector<float> blend_weights(Blending blending, std::int64_t begin, std::int64_t end,
                                 std::int64_t cell_begin, std::int64_t cell_end, std::int64_t reach) {
  std::vector<float> weights(static_cast<std::size_t>(end - begin), 1.0F);
  if (blending == Blending::crop || reach <= 0) return weights;
  const double width = 2.0 * static_cast<double>(reach);
  for (std::int64_t at = begin; at < end; ++at) {
    // The distance from the pixel's centre to the border of the tile's weighted region.
    const double from_rim =
        static_cast<double>(std::min(at - (cell_begin - reach), (cell_end + reach) - 1 - at)) + 0.5;
    if (from_rim >= width) continue;
    double weight = from_rim / width;
    if (blending == Blending::gaussian) {
      const double depth = width - from_rim, sigma = static_cast<double>(reach) / 2;
      weight = std::exp(-depth * depth / (2 * sigma * sigma));
    }
    weights[static_cast<std::size_t>(at - begin)] = static_cast<float>(std::max(weight, 1e-6));
  }
  return weights;
}

}  // namespace tessera
