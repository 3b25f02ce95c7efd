#pragma once

#include "io/geometry/voxel_type.h"

namespace tessera {

/// A prediction in a lower precision is to stay this near float32, in probability.
constexpr double kPrecisionLimit = 0.01;

/// How far two results over the same voxels are apart, in probability.
struct PrecisionCheck {
  double largest = 0, mean = 0;
  double share_beyond = 0;  ///< of the voxels that are further apart than kPrecisionLimit
};

/// Both of one shape and type: uint8 counts as 1/255 a step, float16 and float32 as they are.
PrecisionCheck compare_probabilities(const VoxelBuffer& a, const VoxelBuffer& b);

}  // namespace tessera
