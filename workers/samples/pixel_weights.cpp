#include "workers/samples/pixel_weights.h"

#include <numeric>

namespace tessera {

std::vector<float> class_weights(std::span<const std::int64_t> class_counts, bool balance) {
  std::vector<float> weights(class_counts.size(), 1);
  if (!balance) return weights;
  const auto total =
      static_cast<double>(std::accumulate(class_counts.begin(), class_counts.end(), std::int64_t{0}));
  double present = 0;
  for (const std::int64_t count : class_counts)
    present += count > 0 ? 1 : 0;
  for (std::size_t c = 0; c < weights.size(); ++c) {
    const auto count = static_cast<double>(class_counts[c]);
    weights[c] = count > 0 ? static_cast<float>(total / (present * count)) : 0;
  }
  return weights;
}

std::vector<float> pixel_weights(std::span<const std::uint8_t> classes,
                                 std::span<const float> weights_of_classes, std::span<const float> border) {
  std::vector<float> weights(classes.size());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i] == kIgnoredClass) continue;
    weights[i] = weights_of_classes[classes[i]] + (border.empty() ? 0 : border[i]);
  }
  return weights;
}

}  // namespace tessera
