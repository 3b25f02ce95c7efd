#pragma once

#include <cstdint>
#include <vector>

#include "io/geometry/voxel_type.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// Sets the holes of the foreground to 1, in each section alone. A hole is background, 0, from which no path
/// leads to the edge of the section or to a voxel outside the mask. Paths of the background have 4 neighbours
/// where the foreground has 8, and 8 where it has 4, so that a closed outline is closed. `values`: 0 or 1, of
/// whole sections, (z, y, x) of `sides`; `mask`: of the same voxels, or null.
void fill_holes(std::vector<std::uint64_t>& values, const VoxelBuffer* mask, const Index3& sides,
                const ComponentOptions& options);

}  // namespace tessera
