#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// The 4-connected components of a 2-D mask.
struct Components {
  std::int32_t count = 0;
  std::vector<std::int32_t> labels;  ///< (y, x): 0 outside the mask, else 1 to count in raster order
};

/// `mask` is (y, x), non-zero inside. Errors: Error for a section of 2^31 pixels or more.
Components label_components(std::span<const std::uint8_t> mask, std::int64_t height, std::int64_t width);

/// The 4-connected components of equal ids in a section: `ids` is (y, x), 0 outside of any. Errors: as
/// label_components.
Components equal_components(std::span<const std::int32_t> ids, std::int64_t height, std::int64_t width);

}  // namespace tessera
