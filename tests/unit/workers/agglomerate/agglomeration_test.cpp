#include "workers/agglomerate/agglomeration.h"

#include <gtest/gtest.h>

#include <string>

#include "io/base/error.h"
#include "merge_reference.h"
#include "workers/agglomerate/region_owner.h"

namespace tessera {
namespace {

using testing::MergeReference;
using Row = MergeReference::Row;

/// Graphs of the same bundles for the program and for the reference.
struct TwoGraphs {
  RegionGraph graph;
  MergeReference reference;
};

void add_bundle(RegionGraph& graph, std::uint32_t a, std::uint32_t b,
                const std::array<std::uint64_t, MergeReference::kLevels>& histogram) {
  if (graph.bin_begin.empty()) graph.bin_begin.push_back(0);
  std::uint64_t sum = 0, count = 0;
  std::uint16_t saddle = 0;
  for (std::uint64_t level = 0; level < histogram.size(); ++level) {
    if (histogram[level] == 0) continue;
    graph.bins.push_back({level, histogram[level]});
    sum += 257 * level * histogram[level];
    count += histogram[level];
    saddle = static_cast<std::uint16_t>(257 * level);
  }
  graph.a.push_back(a);
  graph.b.push_back(b);
  graph.sum.push_back(sum);
  graph.count.push_back(count);
  graph.saddle.push_back(saddle);
  graph.bin_begin.push_back(graph.bins.size());
}

/// A graph of few levels, so that most linkages are ties.
TwoGraphs random_graphs(RandomStream& random, const AgglomerationOptions& options, int threshold_level) {
  TwoGraphs both{{}, {options.rule, threshold_level, options.ordinal}};
  const auto rows = static_cast<std::uint32_t>(random.integer(5, 12));
  const std::int64_t levels = random.integer(1, 3);
  for (std::uint32_t row = 0; row < rows; ++row) {
    both.graph.name.push_back(10 * row);
    both.graph.size.push_back(1);
  }
  for (std::uint32_t a = 0; a < rows; ++a) {
    for (std::uint32_t b = a + 1; b < rows; ++b) {
      if (random.uniform() < 0.5) continue;
      std::array<std::uint64_t, MergeReference::kLevels> histogram{};
      const bool one_level = options.rule.linkage == Linkage::mean;
      const auto level = static_cast<std::size_t>(random.integer(1, levels));
      const std::int64_t count = random.integer(1, 3);
      for (std::int64_t i = 0; i < count; ++i)
        ++histogram[one_level ? level : static_cast<std::size_t>(random.integer(1, levels))];
      add_bundle(both.graph, a, b, histogram);
      both.reference.add(a, b, histogram);
    }
  }
  return both;
}

std::set<Row> rows_of(const std::vector<GreedyMerge>& merges) {
  std::set<Row> rows;
  for (const GreedyMerge& row : merges)
    rows.insert({row.gone, row.into, row.sum, row.count});
  EXPECT_EQ(rows.size(), merges.size());
  return rows;
}

/// The merges by owners of random parts of the rows. Some of the bundles are divided among the shares.
std::vector<GreedyMerge> by_random_owners(const RegionGraph& graph, const AgglomerationOptions& options,
                                          RandomStream& random) {
  const auto owners = static_cast<std::size_t>(random.integer(1, 5));
  const auto rows = static_cast<std::int64_t>(graph.rows());
  OwnerRows parts{{0}};
  for (std::size_t i = 1; i < owners; ++i)
    parts.begins.push_back(static_cast<std::uint32_t>(random.integer(0, rows)));
  parts.begins.push_back(static_cast<std::uint32_t>(rows));
  std::sort(parts.begins.begin(), parts.begins.end());
  const ClusterEdges first = first_edges(graph, options.rule);
  std::vector<ClusterEdges> shares(owners);
  for (std::size_t i = 0; i < first.size(); ++i)
    shares[static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(owners) - 1))].add_from(first,
                                                                                                        i);
  const std::int64_t gather = random.uniform() < 0.5 ? 0 : random.integer(0, 20);
  std::vector<GreedyMerge> merges;
  for (const std::vector<GreedyMerge>& of_owner :
       agglomerate_by_owners(shares, parts, options, gather, LocalExchange(owners)))
    merges.insert(merges.end(), of_owner.begin(), of_owner.end());
  EXPECT_TRUE(std::is_sorted(merges.begin(), merges.end(),
                             [](const GreedyMerge& x, const GreedyMerge& y) { return x.gone < y.gone; }));
  return merges;
}

const std::vector<LinkageRule> kRules{{Linkage::mean, 50},     {Linkage::quantile, 25},
                                      {Linkage::quantile, 50}, {Linkage::quantile, 75},
                                      {Linkage::quantile, 85}, {Linkage::maximum, 50}};

/// How many of `graphs` random graphs end otherwise than greedily.
struct Differences {
  int program = 0;    ///< merges of the program's owners
  int reference = 0;  ///< of the reference's schedules
  int greedy = 0;     ///< of the program's heap, against the reference's
};

Differences differences(int graphs, OrdinalRule ordinal, std::uint64_t seed) {
  Differences found;
  for (int i = 0; i < graphs; ++i) {
    RandomStream random(seed, 0, static_cast<std::uint64_t>(i));
    AgglomerationOptions options{kRules[static_cast<std::size_t>(i) % kRules.size()], {}, ordinal};
    const auto threshold = static_cast<int>(random.integer(1, 3));
    options.threshold = {257 * static_cast<std::uint64_t>(threshold), 1};
    const TwoGraphs both = random_graphs(random, options, threshold);
    const std::set<Row> expected = MergeReference(both.reference).greedy();
    const std::set<Row> heap = rows_of(agglomerate(both.graph, options));
    found.greedy += heap != expected ? 1 : 0;
    found.reference += MergeReference(both.reference).scheduled(random) != expected ? 1 : 0;
    try {
      found.program += rows_of(by_random_owners(both.graph, options, random)) != heap ? 1 : 0;
    } catch (const Error&) {
      ++found.program;  // with a wrong ordinal two owners can disagree
    }
  }
  return found;
}

TEST(Agglomeration, AnyScheduleOfReciprocalPairsIsGreedy) {
  const Differences found = differences(20'000, OrdinalRule::larger, 1);
  EXPECT_EQ(found.greedy, 0);
  EXPECT_EQ(found.reference, 0);
  EXPECT_EQ(found.program, 0);
}

TEST(Agglomeration, TheTestFindsTheWrongOrdinals) {
  for (const OrdinalRule wrong : {OrdinalRule::smaller, OrdinalRule::of_the_better}) {
    const Differences found = differences(5'000, wrong, 1);
    EXPECT_GT(found.reference, 0) << static_cast<int>(wrong);
    EXPECT_GT(found.program, 0) << static_cast<int>(wrong);
  }
}

/// Rows in a grid, 4 neighbours, of few levels.
RegionGraph grid_graph(std::uint32_t side, std::uint64_t seed) {
  RegionGraph graph;
  RandomStream random(seed, 0, 0);
  for (std::uint32_t row = 0; row < side * side; ++row) {
    graph.name.push_back(row);
    graph.size.push_back(1);
  }
  const auto add = [&](std::uint32_t a, std::uint32_t b) {
    std::array<std::uint64_t, MergeReference::kLevels> histogram{};
    for (std::int64_t i = random.integer(1, 4); i > 0; --i)
      ++histogram[static_cast<std::size_t>(random.integer(0, 5))];
    add_bundle(graph, a, b, histogram);
  };
  for (std::uint32_t y = 0; y < side; ++y) {
    for (std::uint32_t x = 0; x < side; ++x) {
      if (x + 1 < side) add(y * side + x, y * side + x + 1);
      if (y + 1 < side) add(y * side + x, (y + 1) * side + x);
    }
  }
  return graph;
}

TEST(Agglomeration, OwnersDoNotShowOnAGrid) {
  const RegionGraph graph = grid_graph(60, 3);
  for (const LinkageRule& rule : kRules) {
    const AgglomerationOptions options{rule, {2 * 257, 1}, OrdinalRule::larger};
    const std::vector<GreedyMerge> greedy = agglomerate(graph, options);
    EXPECT_GT(greedy.size(), 1000U);
    for (std::size_t i = 1; i < greedy.size(); ++i) {
      EXPECT_LE(greedy[i].linkage(rule.linkage), greedy[i - 1].linkage(rule.linkage));
      if (i > 100 && ::testing::Test::HasFailure()) break;
    }
    const std::set<Row> expected = rows_of(greedy);
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      RandomStream random(seed, 1, 0);
      EXPECT_EQ(rows_of(by_random_owners(graph, options, random)), expected)
          << name_of(rule.linkage) << rule.percent;
    }
  }
}

TEST(Agglomeration, ACutAtAHigherThresholdIsARun) {
  const RegionGraph graph = grid_graph(30, 4);
  for (const LinkageRule& rule : kRules) {
    const std::vector<GreedyMerge> whole = agglomerate(graph, {rule, {0, 1}, OrdinalRule::larger});
    for (const std::uint64_t level : {4, 3, 2, 1}) {
      const Fraction threshold{257 * level, 1};
      std::vector<GreedyMerge> cut;
      for (const GreedyMerge& row : whole) {
        if (row.linkage(rule.linkage) >= threshold) cut.push_back(row);
      }
      EXPECT_EQ(agglomerate(graph, {rule, threshold, OrdinalRule::larger}), cut);
    }
  }
}

TEST(Agglomeration, BundlesBetweenTwoRowsAddUp) {
  RegionGraph graph = grid_graph(2, 1);
  const std::vector<GreedyMerge> before = agglomerate(graph, {});
  for (std::size_t i = 0, bundles = graph.bundles(); i < bundles; ++i) {
    const std::vector<HistogramBin> bins(graph.bins_of(i).begin(), graph.bins_of(i).end());
    graph.a.push_back(graph.a[i]);
    graph.b.push_back(graph.b[i]);
    graph.sum.push_back(graph.sum[i]);
    graph.count.push_back(graph.count[i]);
    graph.saddle.push_back(graph.saddle[i]);
    graph.bins.insert(graph.bins.end(), bins.begin(), bins.end());
    graph.bin_begin.push_back(graph.bins.size());
  }
  const std::vector<GreedyMerge> after = agglomerate(graph, {});
  ASSERT_EQ(before.size(), after.size());
  ASSERT_EQ(before.size(), 3U);
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].gone, before[i].gone);
    EXPECT_EQ(after[i].sum, 2 * before[i].sum);
    EXPECT_EQ(after[i].count, 2 * before[i].count);
  }
}

TEST(Agglomeration, NamesWhatIsWrongInAGraph) {
  const auto message = [](const RegionGraph& graph, Linkage linkage) {
    try {
      agglomerate(graph, {{linkage, 50}, {}, OrdinalRule::larger});
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const RegionGraph good = grid_graph(2, 1);
  EXPECT_EQ(message(good, Linkage::quantile), "");
  RegionGraph bad = good;
  bad.b[1] = bad.a[1];
  EXPECT_NE(
      message(bad, Linkage::mean).find("bundle 1 of the region graph connects the regions 0 and 0 of 4"),
      std::string::npos);
  bad = good;
  bad.count[0] = 0;
  EXPECT_NE(message(bad, Linkage::mean).find("bundle 0"), std::string::npos);
  bad = good;
  bad.bin_begin.clear();
  EXPECT_NE(message(bad, Linkage::quantile).find("no histograms"), std::string::npos);
  EXPECT_EQ(message(bad, Linkage::mean), "");
  bad = good;
  ++bad.count[2];
  EXPECT_NE(message(bad, Linkage::quantile).find("in its histogram"), std::string::npos);
  bad = good;
  bad.sum.pop_back();
  EXPECT_NE(message(bad, Linkage::mean).find("differ in length"), std::string::npos);
}

TEST(Linkage, QuantilesAreTheSmallestBinThatReachesTheShare) {
  const std::vector<HistogramBin> bins{{10, 2}, {20, 1}, {200, 1}};
  EXPECT_EQ(quantile_weight(bins, 50), 10 * 257);
  EXPECT_EQ(quantile_weight(bins, 51), 20 * 257);
  EXPECT_EQ(quantile_weight(bins, 75), 20 * 257);
  EXPECT_EQ(quantile_weight(bins, 76), 200 * 257);
  EXPECT_EQ(quantile_weight(bins, 100), 200 * 257);
  EXPECT_EQ(quantile_weight(bins, 1), 10 * 257);
}

TEST(Linkage, FractionsAreComparedExactly) {
  const Fraction third{1, 3}, more{(std::uint64_t{1} << 60) / 3 + 1, std::uint64_t{1} << 60};
  EXPECT_LT(third, more);
  EXPECT_EQ((Fraction{2, 6}), third);
  EXPECT_GT((Fraction{std::uint64_t{1} << 56, 3}), (Fraction{(std::uint64_t{1} << 56) - 1, 3}));
  EXPECT_EQ(weight_threshold(0.7), (Fraction{7 * 65535, 10}));
  EXPECT_EQ(weight_threshold(1), (Fraction{65535, 1}));
}

}  // namespace
}  // namespace tessera
