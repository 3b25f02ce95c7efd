#include "io/geometry/mirror.h"

#include <cassert>

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
    // After one full period every voxel has been shown.
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

}  // namespace tessera
