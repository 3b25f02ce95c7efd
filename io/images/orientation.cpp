#include "io/images/orientation.h"

#include <cstring>
#include <vector>

namespace tessera {

void apply_orientation(int orientation, std::int64_t height, std::int64_t width, std::int64_t voxel_bytes,
                       std::span<std::byte> voxels) {
  if (orientation == 1) return;
  // TIFF 6.0, tag 274: where the first stored row and column are.
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const bool is_transposed = orientation > 4;
  const std::vector<std::byte> stored(voxels.begin(), voxels.end());
  const std::int64_t rows = is_transposed ? width : height, columns = is_transposed ? height : width;
  for (std::int64_t y = 0; y < rows; ++y) {
    for (std::int64_t x = 0; x < columns; ++x) {
      const std::int64_t v = from_bottom ? rows - 1 - y : y, u = from_right ? columns - 1 - x : x;
      const std::int64_t from = is_transposed ? u * width + v : v * width + u;
      std::memcpy(voxels.data() + (y * columns + x) * voxel_bytes, stored.data() + from * voxel_bytes,
                  static_cast<std::size_t>(voxel_bytes));
    }
  }
}

}  // namespace tessera
