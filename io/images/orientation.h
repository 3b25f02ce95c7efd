#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

/// Brings an image to the order "rows from the top, each from the left". `orientation`: TIFF's tag, 1 to 8;
/// from 5 on, the stored rows are columns, and the result has `width` rows of `height` voxels. `height`,
/// `width`: as stored. `voxels`: height * width * voxel_bytes bytes.
void apply_orientation(int orientation, std::int64_t height, std::int64_t width, std::int64_t voxel_bytes,
                       std::span<std::byte> voxels);

}  // namespace tessera
