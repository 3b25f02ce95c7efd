#include "workers/samples/weight_map.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <unordered_map>

#include "workers/metrics/components.h"
#include "workers/samples/distance_transform.h"

namespace tessera {

template <class Id>
std::vector<std::int32_t> dense_instances(std::span<const Id> ids) {
  std::vector<std::int32_t> dense(ids.size());
  std::unordered_map<Id, std::int32_t> numbers;
  Id last_id = 0;
  std::int32_t last_number = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != last_id) {
      last_id = ids[i];
      const auto next = static_cast<std::int32_t>(numbers.size()) + 1;
      last_number = last_id == 0 ? 0 : numbers.emplace(last_id, next).first->second;
    }
    dense[i] = last_number;
  }
  return dense;
}

template std::vector<std::int32_t> dense_instances(std::span<const std::uint8_t> ids);
template std::vector<std::int32_t> dense_instances(std::span<const std::uint16_t> ids);
template std::vector<std::int32_t> dense_instances(std::span<const std::uint32_t> ids);
template std::vector<std::int32_t> dense_instances(std::span<const std::uint64_t> ids);

std::vector<std::int32_t> instances_of_classes(std::span<const std::uint8_t> classes, std::uint8_t ignored,
                                               std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> mask(classes.size());
  for (std::size_t i = 0; i < mask.size(); ++i)
    mask[i] = classes[i] != 0 && classes[i] != ignored ? 1 : 0;
  return label_components(mask, height, width).labels;
}

void separate_instances(std::span<std::int32_t> instances, std::int64_t height, std::int64_t width) {
  assert(instances.size() == static_cast<std::size_t>(height * width));
  const std::vector<std::int32_t> before(instances.begin(), instances.end());
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int32_t own = before[static_cast<std::size_t>(y * width + x)];
      if (own == 0) continue;
      bool touches = false;
      for (std::int64_t v = std::max<std::int64_t>(0, y - 1); v <= std::min(height - 1, y + 1); ++v) {
        for (std::int64_t u = std::max<std::int64_t>(0, x - 1); u <= std::min(width - 1, x + 1); ++u) {
          const std::int32_t other = before[static_cast<std::size_t>(v * width + u)];
          touches = touches || (other != 0 && other != own);
        }
      }
      if (touches) instances[static_cast<std::size_t>(y * width + x)] = 0;
    }
  }
}

std::vector<float> border_weights(std::span<const std::int32_t> instances, std::int64_t height,
                                  std::int64_t width, const WeightMapOptions& options) {
  std::vector<float> weights(instances.size(), 0);
  if (options.w0 == 0) return weights;
  const InstanceDistances distances = instance_distances(instances, height, width);
  const double scale = -1 / (2 * options.sigma * options.sigma);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (instances[i] != 0) continue;
    const double sum = static_cast<double>(distances.nearest[i]) + static_cast<double>(distances.second[i]);
    weights[i] = static_cast<float>(options.w0 * std::exp(scale * sum * sum));
  }
  return weights;
}

}  // namespace tessera
