#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>

#include "io/base/error.h"
#include "io/geometry/voxel_type.h"
#include "pipeline/evaluate/evaluation_volumes.h"
#include "workers/metrics/label_table.h"

namespace tessera {

/// Calls `function` with the voxels in their own type. Errors: Error for floating point.
template <class Function>
void with_integers(const VoxelBuffer& voxels, Function&& function) {
  switch (voxels.type) {
    case VoxelType::uint8:
      return function(voxels.as<std::uint8_t>());
    case VoxelType::uint16:
      return function(voxels.as<std::uint16_t>());
    case VoxelType::uint32:
      return function(voxels.as<std::uint32_t>());
    case VoxelType::uint64:
      return function(voxels.as<std::uint64_t>());
    default:
      throw Error(fmt::format("labels cannot be {}", name_of(voxels.type)));
  }
}

/// Counts the voxels of this rank's slabs by true and predicted label. Each slab belongs to one rank: the
/// ranks' tables together count every scored voxel once. Adds the seconds of reading to `read_s`. Errors:
/// Error.
LabelTable count_label_pairs(EvaluatedVolumes& volumes, const std::optional<LabelId>& ignored,
                             const Communicator& world, double& read_s);

}  // namespace tessera
