#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "io/base/enum_names.h"
#include "io/geometry/box.h"

namespace tessera {

/// The types of voxels in memory. Files may have other types: the store converts them. float16 is only for
/// writing results; when read, they are float32.
enum class VoxelType { uint8, uint16, uint32, uint64, float32, float16 };
constexpr auto enum_names(VoxelType) {
  return std::to_array<EnumName<VoxelType>>({{VoxelType::uint8, "uint8"},
                                             {VoxelType::uint16, "uint16"},
                                             {VoxelType::uint32, "uint32"},
                                             {VoxelType::uint64, "uint64"},
                                             {VoxelType::float32, "float32"},
                                             {VoxelType::float16, "float16"}});
}

std::int64_t size_of(VoxelType type);

template <class T>
constexpr VoxelType voxel_type_of() {
  if constexpr (std::is_same_v<T, std::uint8_t>) return VoxelType::uint8;
  if constexpr (std::is_same_v<T, std::uint16_t>) return VoxelType::uint16;
  if constexpr (std::is_same_v<T, std::uint32_t>) return VoxelType::uint32;
  if constexpr (std::is_same_v<T, std::uint64_t>) return VoxelType::uint64;
  if constexpr (std::is_same_v<T, float>) return VoxelType::float32;
}

/// Calls `function(T{})`, where T is the C++ type of `type`; for float16, which has none, uint16 (its bits).
template <class Function>
decltype(auto) with_voxel_type(VoxelType type, Function&& function) {
  switch (type) {
    case VoxelType::uint8:
      return function(std::uint8_t{});
    case VoxelType::float16:
    case VoxelType::uint16:
      return function(std::uint16_t{});
    case VoxelType::uint32:
      return function(std::uint32_t{});
    case VoxelType::uint64:
      return function(std::uint64_t{});
    case VoxelType::float32:
      break;
  }
  return function(float{});
}

/// A box of voxels in memory: (channel, z, y, x), row-major.
struct VoxelBuffer {
  VoxelType type = VoxelType::uint8;
  std::int64_t channels = 1;
  Index3 shape;
  std::vector<std::byte> bytes;

  VoxelBuffer() = default;
  VoxelBuffer(VoxelType voxel_type, const Index3& box_shape, std::int64_t channel_count = 1)
      : type(voxel_type),
        channels(channel_count),
        shape(box_shape),
        bytes(static_cast<std::size_t>(volume_of(box_shape) * channel_count * size_of(voxel_type))) {}
  /// Reuses `memory`. Its old content stays until it is overwritten.
  VoxelBuffer(VoxelType voxel_type, const Index3& box_shape, std::int64_t channel_count,
              std::vector<std::byte> memory)
      : type(voxel_type), channels(channel_count), shape(box_shape), bytes(std::move(memory)) {
    bytes.resize(static_cast<std::size_t>(volume_of(box_shape) * channel_count * size_of(voxel_type)));
  }

  template <class T>
  bool holds() const {
    return voxel_type_of<T>() == type || (type == VoxelType::float16 && std::is_same_v<T, std::uint16_t>);
  }
  template <class T>
  std::span<T> as() {
    assert(holds<T>());
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <class T>
  std::span<const T> as() const {
    assert(holds<T>());
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

}  // namespace tessera
