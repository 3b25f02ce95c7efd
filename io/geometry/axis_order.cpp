#include "io/geometry/axis_order.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "io/base/error.h"

namespace tessera {

AxisOrder::AxisOrder(const std::string& text) {
  constexpr std::array kAxes{'z', 'y', 'x'};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::size_t place = text.find(kAxes[axis]);
    if (text.size() != 3 || place == std::string::npos) {
      throw UsageError(fmt::format(
          "axes '{}': write the letters z, y and x in the order of the file's axes, the slowest first, such "
          "as yxz",
          text));
    }
    from_[axis] = static_cast<int>(place);
  }
}

Index3 AxisOrder::sorted(const Index3& source) const {
  return {source[from_[0]], source[from_[1]], source[from_[2]]};
}

Index3 AxisOrder::unsorted(const Index3& zyx) const {
  Index3 source;
  for (int axis = 0; axis < 3; ++axis)
    source[from_[static_cast<std::size_t>(axis)]] = zyx[axis];
  return source;
}

VoxelBuffer AxisOrder::sorted(const VoxelBuffer& source) const {
  VoxelBuffer result(source.type, sorted(source.shape), source.channels);
  const Index3 strides = sorted(Index3{source.shape.y * source.shape.x, source.shape.x, 1});
  const std::int64_t voxels = volume_of(source.shape);
  with_voxel_type(source.type, [&](auto zero) {
    using Voxel = decltype(zero);
    const auto from = source.as<Voxel>();
    auto* to = result.as<Voxel>().data();
    for (std::int64_t channel = 0; channel < source.channels; ++channel) {
      for (std::int64_t z = 0; z < result.shape.z; ++z) {
        for (std::int64_t y = 0; y < result.shape.y; ++y) {
          const Voxel* row = from.data() + channel * voxels + z * strides.z + y * strides.y;
          for (std::int64_t x = 0; x < result.shape.x; ++x)
            *to++ = row[x * strides.x];
        }
      }
    }
  });
  return result;
}

std::string axis_order_doubt(const Index3& shape) {
  constexpr std::int64_t kFar = 4;
  if (shape.z == 1 || kFar * shape.x > std::min(shape.z, shape.y)) return {};
  return fmt::format(
      "its shape is {}: the last axis is by far the shortest, but the order is (z, y, x), sections first",
      to_string(shape));
}

std::string axis_order_advice(const std::string& source) {
  return fmt::format(
      "If the axes are in another order, reorder them: tessera import {} NEW.h5:/volumes/raw --axes yxz",
      source);
}

}  // namespace tessera
