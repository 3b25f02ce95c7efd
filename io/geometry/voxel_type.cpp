#include "io/geometry/voxel_type.h"

namespace tessera {

std::int64_t size_of(VoxelType type) {
  return with_voxel_type(type, [](auto zero) { return static_cast<std::int64_t>(sizeof(zero)); });
}

std::string_view name_of(VoxelType type) {
  switch (type) {
    case VoxelType::uint8:
      return "uint8";
    case VoxelType::uint16:
      return "uint16";
    case VoxelType::uint32:
      return "uint32";
    case VoxelType::uint64:
      return "uint64";
    case VoxelType::float16:
      return "float16";
    case VoxelType::float32:
      break;
  }
  return "float32";
}

}  // namespace tessera
