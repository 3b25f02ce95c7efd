#include "io/volume/finite_check.h"

#include <fmt/format.h>

#include <cmath>

#include "io/base/error.h"

namespace tessera {

NonFinite find_non_finite(const VoxelBuffer& buffer) {
  NonFinite found;
  if (buffer.type != VoxelType::float32) return found;
  const auto values = buffer.as<float>();
  const Index3 shape = buffer.shape;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    if (found.count++ == 0) {
      const auto at = static_cast<std::int64_t>(i) % volume_of(shape);
      found.first = {at / (shape.y * shape.x), at / shape.x % shape.y, at % shape.x};
    }
  }
  return found;
}

void require_finite(const VoxelBuffer& buffer, const Box& box, const DatasetName& name) {
  const NonFinite found = find_non_finite(buffer);
  if (found.count == 0) return;
  throw Error(
      fmt::format("{} has {} NaN or infinite value{} in {}, the first at {}: replace them, for example by "
                  "the mean of their section, before training or predicting",
                  name.text(), found.count, found.count == 1 ? "" : "s", to_string(box),
                  to_string(box.begin + found.first)));
}

}  // namespace tessera
