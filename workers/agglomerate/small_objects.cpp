#include "workers/agglomerate/small_objects.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace tessera {
namespace {

constexpr std::uint64_t kScoreScale = 256;
constexpr std::size_t kNoBundle = std::numeric_limits<std::size_t>::max();

/// The bundle's place in the order of choice: the larger the better.
struct Choice {
  std::uint64_t score, edge;
  bool is_better(const Choice& other) const {
    return score != other.score ? score > other.score : edge < other.edge;
  }
};

Choice choice_of(const RegionGraph& graph, std::size_t i) {
  const std::uint64_t pair = (std::uint64_t{graph.a[i]} << 32) | graph.b[i];
  return {bundle_score(graph.sum[i], graph.count[i]), graph.edge.empty() ? pair : graph.edge[i]};
}

/// Adds bundle i of `graph`, between the last two rows that were added.
void add_up(RegionGraph& to, const RegionGraph& graph, std::size_t i) {
  to.sum.back() += graph.sum[i];
  to.count.back() += graph.count[i];
  if (!graph.edge.empty() && graph.saddle[i] >= to.saddle.back())
    to.edge.back() =
        graph.saddle[i] > to.saddle.back() ? graph.edge[i] : std::min(to.edge.back(), graph.edge[i]);
  to.saddle.back() = std::max(to.saddle.back(), graph.saddle[i]);
}

/// The smallest row that is connected with each row.
class ConnectedRows {
 public:
  explicit ConnectedRows(std::size_t rows) : parent_(rows) { std::iota(parent_.begin(), parent_.end(), 0U); }
  std::uint32_t root(std::uint32_t row) {
    while (parent_[row] != row)
      row = parent_[row] = parent_[parent_[row]];
    return row;
  }
  void unite(std::uint32_t x, std::uint32_t y) {
    x = root(x);
    y = root(y);
    parent_[std::max(x, y)] = std::min(x, y);
  }

 private:
  std::vector<std::uint32_t> parent_;
};

/// The bundle that each small object chooses.
std::vector<std::size_t> choices(const RegionGraph& graph, std::uint64_t small_size,
                                 std::uint64_t lowest_score) {
  std::vector<std::size_t> chosen(graph.rows(), kNoBundle);
  for (std::size_t i = 0; i < graph.bundles(); ++i) {
    const Choice choice = choice_of(graph, i);
    if (choice.score < lowest_score) continue;
    for (const std::uint32_t row : {graph.a[i], graph.b[i]}) {
      if (graph.size[row] >= small_size) continue;
      if (chosen[row] == kNoBundle || choice.is_better(choice_of(graph, chosen[row]))) chosen[row] = i;
    }
  }
  std::erase(chosen, kNoBundle);
  return chosen;
}

}  // namespace

std::uint64_t bundle_score(std::uint64_t sum, std::uint64_t count) {
  return kScoreScale * sum / count;
}

std::uint64_t threshold_score(double threshold) {
  return static_cast<std::uint64_t>(
      std::floor(static_cast<double>(kScoreScale * kProbabilityOne) * threshold + 0.5));
}

RegionGraph contracted(const RegionGraph& graph, std::span<const std::uint32_t> object) {
  assert(object.size() == graph.rows());
  RegionGraph small;
  std::vector<std::uint32_t> number(graph.rows());
  for (std::uint32_t row = 0; row < graph.rows(); ++row) {
    if (object[row] == row) {
      number[row] = static_cast<std::uint32_t>(small.rows());
      small.name.push_back(graph.name[row]);
      small.size.push_back(0);
    }
    small.size[number[object[row]]] += graph.size[row];
  }
  struct End {
    std::uint32_t a, b;
    std::size_t bundle;
    auto operator<=>(const End&) const = default;
  };
  std::vector<End> ends;
  for (std::size_t i = 0; i < graph.bundles(); ++i) {
    const std::uint32_t x = number[object[graph.a[i]]], y = number[object[graph.b[i]]];
    if (x != y) ends.push_back({std::min(x, y), std::max(x, y), i});
  }
  std::sort(ends.begin(), ends.end());
  for (const End& end : ends) {
    if (!small.a.empty() && small.a.back() == end.a && small.b.back() == end.b) {
      add_up(small, graph, end.bundle);
      continue;
    }
    small.a.push_back(end.a);
    small.b.push_back(end.b);
    small.sum.push_back(graph.sum[end.bundle]);
    small.count.push_back(graph.count[end.bundle]);
    small.saddle.push_back(graph.saddle[end.bundle]);
    if (!graph.edge.empty()) small.edge.push_back(graph.edge[end.bundle]);
  }
  return small;
}

std::vector<TreeMerge> merge_small_objects(const RegionGraph& graph, std::span<const std::uint32_t> object,
                                           std::uint64_t small_size, std::uint64_t lowest_score,
                                           std::uint32_t stage) {
  RegionGraph now = contracted(graph, object);
  std::vector<TreeMerge> merges;
  const auto row_of = [&](std::uint64_t name) {
    return static_cast<std::uint32_t>(std::lower_bound(graph.name.begin(), graph.name.end(), name) -
                                      graph.name.begin());
  };
  for (;;) {
    const std::vector<std::size_t> chosen = choices(now, small_size, lowest_score);
    if (chosen.empty()) break;
    ConnectedRows components(now.rows());
    for (const std::size_t i : chosen)
      components.unite(now.a[i], now.b[i]);
    std::vector<std::uint32_t> root(now.rows());
    for (std::uint32_t row = 0; row < now.rows(); ++row) {
      root[row] = components.root(row);
      if (root[row] != row) merges.push_back({row_of(now.name[row]), row_of(now.name[root[row]]), stage});
    }
    now = contracted(now, root);
  }
  std::sort(merges.begin(), merges.end(),
            [](const TreeMerge& x, const TreeMerge& y) { return x.gone < y.gone; });
  return merges;
}

}  // namespace tessera
