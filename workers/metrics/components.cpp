#include "workers/metrics/components.h"

#include <fmt/format.h>

#include <cassert>
#include <limits>

#include "io/base/error.h"

namespace tessera {
namespace {

/// Disjoint sets of provisional labels; the smallest label of a set is its root.
class LabelSets {
 public:
  LabelSets() : parent_{0} {}

  std::int32_t add() {
    parent_.push_back(static_cast<std::int32_t>(parent_.size()));
    return parent_.back();
  }
  std::int32_t root(std::int32_t label) {
    while (at(label) != label) {
      at(label) = at(at(label));
      label = at(label);
    }
    return label;
  }
  void unite(std::int32_t a, std::int32_t b) {
    a = root(a);
    b = root(b);
    if (a < b)
      at(b) = a;
    else
      at(a) = b;
  }
  /// Numbers the sets 1, 2, ... in the order of their roots, and returns their number. final_label() is valid
  /// afterwards.
  std::int32_t number() {
    std::int32_t count = 0;
    for (std::int32_t label = 1; label < static_cast<std::int32_t>(parent_.size()); ++label) {
      // A parent is smaller than its child, so it has its number already.
      at(label) = at(label) == label ? ++count : at(at(label));
    }
    return count;
  }
  std::int32_t final_label(std::int32_t label) const { return parent_[static_cast<std::size_t>(label)]; }

 private:
  std::int32_t& at(std::int32_t label) { return parent_[static_cast<std::size_t>(label)]; }
  std::vector<std::int32_t> parent_;
};

/// `values` (y, x): 0 outside; `same(a, b)` of two others: whether they hang together where they touch.
template <class Value, class Same>
Components connect(std::span<const Value> values, std::int64_t height, std::int64_t width, const Same& same) {
  assert(static_cast<std::int64_t>(values.size()) == height * width);
  if (height * width > std::numeric_limits<std::int32_t>::max()) {
    throw Error(
        fmt::format("a section of {} x {} pixels is too large to label its components", height, width));
  }
  Components components;
  components.labels.assign(values.size(), 0);
  LabelSets sets;
  const auto columns = static_cast<std::size_t>(width);
  for (std::size_t row = 0; row < values.size(); row += columns) {
    for (std::size_t i = row; i < row + columns; ++i) {
      if (values[i] == 0) continue;
      std::int32_t label = i > row && same(values[i - 1], values[i]) ? components.labels[i - 1] : 0;
      const std::int32_t above =
          row > 0 && same(values[i - columns], values[i]) ? components.labels[i - columns] : 0;
      if (label == 0)
        label = above != 0 ? above : sets.add();
      else if (above != 0 && above != label)
        sets.unite(label, above);
      components.labels[i] = label;
    }
  }
  components.count = sets.number();
  for (std::int32_t& label : components.labels)
    label = sets.final_label(label);
  return components;
}

}  // namespace

Components label_components(std::span<const std::uint8_t> mask, std::int64_t height, std::int64_t width) {
  return connect(mask, height, width, [](std::uint8_t, std::uint8_t) { return true; });
}

Components equal_components(std::span<const std::int32_t> ids, std::int64_t height, std::int64_t width) {
  return connect(ids, height, width, [](std::int32_t a, std::int32_t b) { return a == b; });
}

}  // namespace tessera
