#pragma once

#include <vector>

#include "io/geometry/voxel_type.h"

namespace tessera::testing {

/// The voxels of a buffer of any type, as numbers.
inline std::vector<double> numbers_of(const VoxelBuffer& buffer) {
  std::vector<double> numbers;
  with_voxel_type(buffer.type, [&](auto zero) {
    for (const auto value : buffer.as<decltype(zero)>())
      numbers.push_back(static_cast<double>(value));
  });
  return numbers;
}

}  // namespace tessera::testing
