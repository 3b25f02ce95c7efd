#pragma once

#include "io/geometry/voxel_type.h"

namespace tessera {

/// The largest acceptable difference between a lower precision and float32, in probability.
constexpr double kPrecisionLimit = 0.01;

/// The differences between two results over the same voxels, in probability.
struct PrecisionCheck {
  double largest = 0, mean = 0;
  double share_beyond = 0;  ///< the fraction of voxels that differ by more than kPrecisionLimit
};

/// Both results have one shape and type. One step of uint8 is 1/255; float16 and float32 are probabilities.
PrecisionCheck compare_probabilities(const VoxelBuffer& a, const VoxelBuffer& b);

}  // namespace tessera
