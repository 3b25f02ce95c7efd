#include "workers/metrics/contingency.h"

#include <algorithm>
#include <cassert>

#include "workers/metrics/ignored_class.h"

namespace tessera {

TrueComponents::TrueComponents(std::span<const std::uint8_t> truth, std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> interior(truth.begin(), truth.end());
  std::replace(interior.begin(), interior.end(), kIgnoredClass, std::uint8_t{0});
  const Components components = label_components(interior, height, width);
  count = components.count;
  begins.assign(static_cast<std::size_t>(count) + 2, 0);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] != kIgnoredClass) ++begins[static_cast<std::size_t>(components.labels[i]) + 1];
  }
  for (std::size_t i = 1; i < begins.size(); ++i)
    begins[i] += begins[i - 1];
  pixels.resize(begins.back());
  std::vector<std::size_t> next = begins;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] == kIgnoredClass) continue;
    pixels[next[static_cast<std::size_t>(components.labels[i])]++] = static_cast<std::int32_t>(i);
  }
}

Contingency count_overlaps(const TrueComponents& truth, std::span<const std::int32_t> predicted,
                           std::int32_t predicted_count) {
  assert(truth.pixels.size() <= predicted.size());
  Contingency table;
  table.predicted.assign(static_cast<std::size_t>(predicted_count) + 1, 0);
  table.in_interior = table.predicted;
  std::vector<std::int64_t> shared(table.predicted.size(), 0);
  std::vector<std::size_t> met;
  for (std::int32_t object = 0; object <= truth.count; ++object) {
    met.clear();
    const std::size_t begin = truth.begins[static_cast<std::size_t>(object)];
    const std::size_t end = truth.begins[static_cast<std::size_t>(object) + 1];
    for (std::size_t i = begin; i < end; ++i) {
      const auto label = static_cast<std::size_t>(predicted[static_cast<std::size_t>(truth.pixels[i])]);
      if (shared[label]++ == 0) met.push_back(label);
    }
    table.truth.push_back(static_cast<std::int64_t>(end - begin));
    for (const std::size_t label : met) {
      table.entries.push_back({object, static_cast<std::int32_t>(label), shared[label]});
      table.predicted[label] += shared[label];
      if (object != 0) table.in_interior[label] += shared[label];
      shared[label] = 0;
    }
  }
  return table;
}

}  // namespace tessera
