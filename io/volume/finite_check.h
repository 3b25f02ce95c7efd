#pragma once

#include <cstdint>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// The number of NaN and infinite values in a float32 buffer, and the position of the first.
struct NonFinite {
  std::int64_t count = 0;
  Index3 first;  ///< relative to the buffer
};
NonFinite find_non_finite(const VoxelBuffer& buffer);

/// Checks `buffer`, which holds `box` of volume `name`. Errors: Error with volume, count and position when a
/// value is NaN or infinite.
void require_finite(const VoxelBuffer& buffer, const Box& box, const DatasetName& name);

}  // namespace tessera
