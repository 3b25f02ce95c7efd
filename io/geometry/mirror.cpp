#include "io/geometry/mirror.h"

#include <cassert>
#include <cstring>
#include <vector>

namespace tessera {

std::int64_t mirror_index(std::int64_t i, std::int64_t n) {
  if (n == 1) return 0;
  const std::int64_t period = 2 * (n - 1);
  std::int64_t phase = i % period;
  if (phase < 0) phase += period;
  return phase < n ? phase : period - phase;
}

Box mirrored_source(const Box& box, const Index3& shape) {
  assert(!box.empty());
  Box source;
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t n = shape[axis];
    // One full period has every voxel.
    const std::int64_t last = std::min(box.end[axis], box.begin[axis] + 2 * n);
    std::int64_t low = n, high = 0;
    for (std::int64_t i = box.begin[axis]; i < last; ++i) {
      const std::int64_t at = mirror_index(i, n);
      low = std::min(low, at);
      high = std::max(high, at + 1);
    }
    source.begin[axis] = low;
    source.end[axis] = high;
  }
  return source;
}

VoxelBuffer cut_mirrored(const VoxelBuffer& held, const Box& held_box, const Box& box, const Index3& shape) {
  VoxelBuffer cut(held.type, box.shape(), held.channels);
  const Index3 held_shape = held.shape, cut_shape = cut.shape;
  std::vector<std::int64_t> columns(static_cast<std::size_t>(cut_shape.x));
  for (std::int64_t x = 0; x < cut_shape.x; ++x) {
    columns[static_cast<std::size_t>(x)] = mirror_index(box.begin.x + x, shape.x) - held_box.begin.x;
  }
  // The part of a row inside the volume is contiguous.
  const std::int64_t run_begin = std::clamp<std::int64_t>(-box.begin.x, 0, cut_shape.x);
  const std::int64_t run_end = std::clamp<std::int64_t>(shape.x - box.begin.x, run_begin, cut_shape.x);
  with_voxel_type(held.type, [&](auto zero) {
    using T = decltype(zero);
    const auto from = held.as<T>();
    auto to = cut.as<T>();
    for (std::int64_t c = 0; c < held.channels; ++c) {
      for (std::int64_t z = 0; z < cut_shape.z; ++z) {
        const std::int64_t source_z = mirror_index(box.begin.z + z, shape.z) - held_box.begin.z;
        for (std::int64_t y = 0; y < cut_shape.y; ++y) {
          const std::int64_t source_y = mirror_index(box.begin.y + y, shape.y) - held_box.begin.y;
          const T* source =
              from.data() + ((c * held_shape.z + source_z) * held_shape.y + source_y) * held_shape.x;
          T* target = to.data() + ((c * cut_shape.z + z) * cut_shape.y + y) * cut_shape.x;
          for (std::int64_t x = 0; x < run_begin; ++x)
            target[x] = source[columns[static_cast<std::size_t>(x)]];
          if (run_end > run_begin) {
            std::memcpy(target + run_begin, source + columns[static_cast<std::size_t>(run_begin)],
                        static_cast<std::size_t>(run_end - run_begin) * sizeof(T));
          }
          for (std::int64_t x = run_end; x < cut_shape.x; ++x)
            target[x] = source[columns[static_cast<std::size_t>(x)]];
        }
      }
    }
  });
  return cut;
}

}  // namespace tessera
