#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "workers/agglomerate/agglomeration.h"
#include "workers/numbers/random_stream.h"

namespace tessera::testing {

/// Agglomeration as its definition says it, on small graphs of weights 257 v, v < kLevels: maps, no heap, no
/// owners. Written without the code that it tests.
class MergeReference {
 public:
  static constexpr int kLevels = 8;
  struct Edge {
    std::array<std::uint64_t, kLevels> histogram{};
    std::pair<std::uint32_t, std::uint32_t> ordinal;
  };
  /// (gone, into, sum, count).
  using Row = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::uint64_t>;

  MergeReference(LinkageRule rule, int threshold_level, OrdinalRule ordinal)
      : rule_(rule), threshold_(threshold_level), ordinal_(ordinal) {}

  void add(std::uint32_t x, std::uint32_t y, const std::array<std::uint64_t, kLevels>& histogram) {
    edges_[x][y] = edges_[y][x] = {histogram, {std::min(x, y), std::max(x, y)}};
  }

  /// The best bundle of all, again and again.
  std::set<Row> greedy() && {
    std::set<Row> rows;
    for (;;) {
      std::pair<std::uint32_t, std::uint32_t> best{0, 0};
      for (const auto& [x, row] : edges_) {
        for (const auto& [y, edge] : row) {
          if (x < y && (best.second == 0 || is_better(edge, edges_[best.first][best.second]))) best = {x, y};
        }
      }
      if (best.second == 0 || !is_open(edges_[best.first][best.second])) return rows;
      rows.insert(merged(best.first, best.second));
    }
  }

  /// A random part of the reciprocally best pairs, again and again.
  std::set<Row> scheduled(RandomStream& random) && {
    std::set<Row> rows;
    for (;;) {
      std::map<std::uint32_t, std::uint32_t> best;
      for (const auto& [x, row] : edges_) {
        for (const auto& [y, edge] : row) {
          const auto found = best.try_emplace(x, y).first;
          if (is_better(edge, edges_[x][found->second])) found->second = y;
        }
      }
      std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
      for (const auto& [x, y] : best) {
        if (x < y && best[y] == x && is_open(edges_[x][y])) pairs.emplace_back(x, y);
      }
      if (pairs.empty()) return rows;
      for (std::size_t i = pairs.size(); i > 1; --i)
        std::swap(pairs[i - 1],
                  pairs[static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(i) - 1))]);
      pairs.resize(static_cast<std::size_t>(random.integer(1, static_cast<std::int64_t>(pairs.size()))));
      for (const auto& [x, y] : pairs)
        rows.insert(merged(x, y));
    }
  }

 private:
  static std::uint64_t count(const Edge& edge) {
    std::uint64_t n = 0;
    for (const std::uint64_t one : edge.histogram)
      n += one;
    return n;
  }
  static std::uint64_t levels(const Edge& edge) {
    std::uint64_t sum = 0;
    for (std::uint64_t level = 0; level < kLevels; ++level)
      sum += level * edge.histogram[level];
    return sum;
  }
  /// In levels, as numerator and denominator.
  std::pair<std::uint64_t, std::uint64_t> linkage(const Edge& edge) const {
    if (rule_.linkage == Linkage::mean) return {levels(edge), count(edge)};
    std::uint64_t below = 0, found = 0;
    for (std::uint64_t level = 0; level < kLevels; ++level) {
      if (rule_.linkage == Linkage::maximum && edge.histogram[level] > 0) found = level;
      if (rule_.linkage == Linkage::quantile &&
          100 * below < static_cast<std::uint64_t>(rule_.percent) * count(edge))
        found = level;
      below += edge.histogram[level];
    }
    return {found, 1};
  }
  bool is_better(const Edge& x, const Edge& y) const {
    const auto [n, d] = linkage(x);
    const auto [m, e] = linkage(y);
    return n * e > m * d || (n * e == m * d && x.ordinal < y.ordinal);
  }
  bool is_open(const Edge& edge) const {
    const auto [n, d] = linkage(edge);
    return n >= static_cast<std::uint64_t>(threshold_) * d;
  }
  Row merged(std::uint32_t into, std::uint32_t gone) {
    if (into > gone) std::swap(into, gone);
    const Edge between = edges_[into][gone];
    const std::map<std::uint32_t, Edge> row = edges_[gone];
    edges_.erase(gone);
    edges_[into].erase(gone);
    for (const auto& [other, edge] : row) {
      if (other == into) continue;
      edges_[other].erase(gone);
      Edge whole = edge;
      if (const auto found = edges_[into].find(other); found != edges_[into].end()) {
        const Edge& there = found->second;
        whole.ordinal = ordinal_ == OrdinalRule::larger    ? std::max(edge.ordinal, there.ordinal)
                        : ordinal_ == OrdinalRule::smaller ? std::min(edge.ordinal, there.ordinal)
                        : is_better(edge, there)           ? edge.ordinal
                                                           : there.ordinal;
        for (std::size_t level = 0; level < kLevels; ++level)
          whole.histogram[level] += there.histogram[level];
      }
      edges_[into][other] = edges_[other][into] = whole;
    }
    return {gone, into, 257 * levels(between), count(between)};
  }

  LinkageRule rule_;
  int threshold_;
  OrdinalRule ordinal_;
  std::map<std::uint32_t, std::map<std::uint32_t, Edge>> edges_;
};

}  // namespace tessera::testing
