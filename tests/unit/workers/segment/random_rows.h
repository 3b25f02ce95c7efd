#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "tests/unit/workers/agglomerate/merge_reference.h"
#include "workers/segment/graph_stage.h"

namespace tessera::testing {

/// A random graph of few levels, so that most linkages are ties, as blocks and faces hand it in: each bundle
/// in several parts, with the histogram of each part.
struct RandomRows {
  using Histogram = std::array<std::uint64_t, MergeReference::kLevels>;
  struct Bundle {
    std::uint32_t a, b;
    Histogram histogram;
  };
  static std::uint64_t name(std::uint32_t row) { return 10 * std::uint64_t{row} + 3; }

  explicit RandomRows(RandomStream& random) {
    clusters = static_cast<std::uint32_t>(random.integer(5, 12));
    const std::int64_t levels = random.integer(2, 3);
    for (std::uint32_t a = 0; a < clusters; ++a) {
      for (std::uint32_t b = a + 1; b < clusters; ++b) {
        if (random.uniform() < 0.5) continue;
        Histogram whole{};
        for (std::int64_t part = random.integer(1, 3); part > 0; --part) {
          Histogram histogram{};
          for (std::int64_t i = random.integer(1, 2); i > 0; --i)
            ++histogram[static_cast<std::size_t>(random.integer(1, levels))];
          for (std::size_t level = 0; level < whole.size(); ++level)
            whole[level] += histogram[level];
          parts.push_back({a, b, histogram});
        }
        bundles.push_back({a, b, whole});
      }
    }
  }

  /// The rows of one rank.
  GraphRows rows(int rank, int ranks) const {
    GraphRows rows;
    for (std::uint32_t row = 0; row < clusters; ++row) {
      if (static_cast<int>(row) % ranks == rank) rows.clusters.push_back({name(row), 1});
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (static_cast<int>(i) % ranks != rank) continue;
      BundleRow bundle{name(parts[i].a), name(parts[i].b), 0, 0, i, 0};
      for (std::uint64_t level = 0; level < MergeReference::kLevels; ++level) {
        const std::uint64_t count = parts[i].histogram[level];
        if (count == 0) continue;
        bundle.sum += 257 * level * count;
        bundle.count += count;
        bundle.saddle = static_cast<std::int64_t>(257 * level);
        // The larger end first: whichever end is first must not show.
        rows.bins.push_back({bundle.b, bundle.a, {level, count}});
      }
      rows.bundles.push_back(bundle);
    }
    return rows;
  }

  /// The merges (gone, into) by the definition, down to a level.
  std::set<std::pair<std::uint64_t, std::uint64_t>> expected(const LinkageRule& rule, int level) const {
    MergeReference reference(rule, level, OrdinalRule::larger);
    for (const Bundle& one : bundles)
      reference.add(one.a, one.b, one.histogram);
    std::set<std::pair<std::uint64_t, std::uint64_t>> merges;
    for (const auto& [gone, into, sum, count] : std::move(reference).greedy())
      merges.emplace(name(gone), name(into));
    return merges;
  }

  std::uint32_t clusters = 0;
  std::vector<Bundle> parts, bundles;
};

/// Collective. On how many random graphs the graph stage has other merges than the definition, or other ones
/// at the higher of two thresholds than a run that ends there. `merges`: of all graphs.
inline int graphs_merged_otherwise(int graphs, std::uint64_t seed, const Communicator& world,
                                   std::int64_t& merges) {
  constexpr std::array kQuantiles{MergeLinkage::quantile25, MergeLinkage::quantile50,
                                  MergeLinkage::quantile75, MergeLinkage::quantile85};
  int otherwise = 0;
  for (int i = 0; i < graphs; ++i) {
    RandomStream random(seed, 0, static_cast<std::uint64_t>(i));
    const RandomRows made(random);
    MergeOptions merge;
    merge.linkage = kQuantiles[static_cast<std::size_t>(i) % kQuantiles.size()];
    const auto last = static_cast<int>(random.integer(1, 2));
    for (const int level : {last + 1, last})
      merge.stages.push_back({MergeStage::Kind::mean, 0, {257 * static_cast<std::uint64_t>(level), 1}});
    const std::int64_t gather_rows = i % 2 == 0 ? 0 : 1 << 20;
    const GraphResult result = merge_graph(made.rows(world.rank(), world.size()), {}, merge,
                                           {.gather_rows = gather_rows, .fragments = false}, world);
    std::array<std::set<std::pair<std::uint64_t, std::uint64_t>>, 2> found;
    for (const MergeRow& row : sent_rows(world, result.merges, [](const MergeRow&) { return 0; })) {
      found[1].emplace(row.name, row.into);
      if (row.stage == 1) found[0].emplace(row.name, row.into);
    }
    if (!world.is_root()) continue;
    const bool same = found[0] == made.expected(rule_of(merge.linkage), last + 1) &&
                      found[1] == made.expected(rule_of(merge.linkage), last);
    otherwise += same ? 0 : 1;
    merges += std::ssize(found[1]);
  }
  return otherwise;
}

}  // namespace tessera::testing
