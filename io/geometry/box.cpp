#include "io/geometry/box.h"

#include <fmt/format.h>

#include "io/base/error.h"

namespace tessera {

std::string to_string(const Index3& index) {
  return fmt::format("({}, {}, {})", index.z, index.y, index.x);
}

std::int64_t volume_of(const Index3& shape) {
  std::int64_t plane = 0, volume = 0;
  if (__builtin_mul_overflow(shape.y, shape.x, &plane) || __builtin_mul_overflow(plane, shape.z, &volume)) {
    throw Error("a shape of " + to_string(shape) + " voxels does not fit 63 bits (is the file damaged?)");
  }
  return volume;
}

bool Box::contains(const Box& inner) const {
  for (int axis = 0; axis < 3; ++axis) {
    if (inner.begin[axis] < begin[axis] || inner.end[axis] > end[axis]) return false;
  }
  return true;
}

Box intersection(const Box& a, const Box& b) {
  Box common;
  for (int axis = 0; axis < 3; ++axis) {
    common.begin[axis] = std::max(a.begin[axis], b.begin[axis]);
    common.end[axis] = std::min(a.end[axis], b.end[axis]);
  }
  return common;
}

std::string to_string(const Box& box) {
  return fmt::format("z [{}, {}) y [{}, {}) x [{}, {})", box.begin.z, box.end.z, box.begin.y, box.end.y,
                     box.begin.x, box.end.x);
}

}  // namespace tessera
