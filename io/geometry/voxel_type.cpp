#include "io/geometry/voxel_type.h"

namespace tessera {

std::int64_t size_of(VoxelType type) {
  return with_voxel_type(type, [](auto zero) { return static_cast<std::int64_t>(sizeof(zero)); });
}

}  // namespace tessera
