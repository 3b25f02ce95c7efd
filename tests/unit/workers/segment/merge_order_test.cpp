#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "workers/segment/certain_merges.h"
#include "workers/segment/graph_merges.h"

namespace tessera {
namespace {

/// A random connected graph with many equal weights.
struct RandomGraph {
  std::vector<ClusterRow> clusters;
  std::vector<BundleRow> bundles;
};

RandomGraph random_graph(std::mt19937_64& random) {
  const auto below = [&](std::uint64_t n) { return random() % n; };
  RandomGraph made;
  const std::uint64_t nodes = 4 + below(12);
  for (std::uint64_t i = 0; i < nodes; ++i)
    made.clusters.push_back({7 * i, 1 + below(9)});
  std::uint64_t edge = 0;
  for (std::uint64_t a = 0; a < nodes; ++a) {
    for (std::uint64_t b = a + 1; b < nodes; ++b) {
      if (b != a + 1 && below(3) != 0) continue;
      const std::uint64_t count = 1 + below(3);
      const auto saddle = static_cast<std::int64_t>(1 + below(3));
      made.bundles.push_back(
          {7 * a, 7 * b, static_cast<std::uint64_t>(saddle) * count, count, edge++, saddle});
    }
  }
  // Edge ids in another order than the pairs.
  for (std::size_t i = made.bundles.size(); i > 1; --i)
    std::swap(made.bundles[i - 1].edge, made.bundles[below(i)].edge);
  return made;
}

/// The clusters after the merges: name and size.
std::vector<std::pair<std::uint64_t, std::uint64_t>> remaining(const OwnedGraph& graph) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> rows;
  for (std::size_t i = 0; i < graph.names().size(); ++i)
    rows.emplace_back(graph.names()[i], graph.sizes()[i]);
  return rows;
}

OwnedGraph filled(const Communicator& alone, RandomGraph from, std::mt19937_64& random) {
  std::shuffle(from.clusters.begin(), from.clusters.end(), random);
  std::shuffle(from.bundles.begin(), from.bundles.end(), random);
  OwnedGraph graph(alone);
  graph.add(from.clusters, from.bundles, {});
  return graph;
}

TEST(MergeOrder, KruskalAndRoundsEndInTheSameFragments) {
  const Communicator alone = Communicator::alone();
  std::mt19937_64 random(1);
  std::size_t merged = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    const RandomGraph made = random_graph(random);
    const std::int64_t size = 1 + static_cast<std::int64_t>(random() % 15), floor = trial % 4;
    OwnedGraph by_order = filled(alone, made, random), by_rounds = filled(alone, made, random);
    merge_fragments(by_order, size, floor);
    merge_fragments_in_rounds(by_rounds, size, floor);
    ASSERT_EQ(remaining(by_order), remaining(by_rounds)) << "trial " << trial;
    ASSERT_EQ(by_order.bundles().size(), by_rounds.bundles().size());
    for (std::size_t i = 0; i < by_order.bundles().size(); ++i) {
      const BundleRow &x = by_order.bundles()[i], &y = by_rounds.bundles()[i];
      ASSERT_EQ(std::tie(x.a, x.b, x.sum, x.count, x.edge, x.saddle),
                std::tie(y.a, y.b, y.sum, y.count, y.edge, y.saddle));
    }
    merged += made.clusters.size() - by_order.names().size();
  }
  EXPECT_GT(merged, 4000u);
}

TEST(MergeOrder, CertainMergesAreAmongTheWholeGraphs) {
  const Communicator alone = Communicator::alone();
  std::mt19937_64 random(2);
  std::size_t merged = 0;
  for (int trial = 0; trial < 2000; ++trial) {
    const RandomGraph made = random_graph(random);
    // The block has the clusters below `last`. Those with neighbours beyond it are open.
    const std::size_t last = 2 + random() % (made.clusters.size() - 1);
    std::vector<std::uint64_t> sizes;
    std::vector<bool> open(last);
    for (std::size_t i = 0; i < last; ++i)
      sizes.push_back(made.clusters[i].size);
    std::vector<BlockBundle> bundles;
    for (const BundleRow& one : made.bundles) {
      const std::uint64_t a = one.a / 7, b = one.b / 7;
      if (b < last) {
        bundles.push_back({a << 32 | b, one.sum, one.edge, static_cast<std::uint32_t>(one.count),
                           static_cast<std::int32_t>(one.saddle)});
      } else if (a < last) {
        open[a] = true;
      }
    }
    BlockGraphOptions options;
    options.fragment_size = 1 + static_cast<std::int64_t>(random() % 15);
    const std::vector<std::uint32_t> root = certain_merges(sizes, open, bundles, options);
    OwnedGraph whole = filled(alone, made, random), after = filled(alone, made, random);
    std::vector<NamePair> pairs;
    for (std::uint32_t i = 0; i < last; ++i) {
      if (root[i] != i) pairs.push_back({7 * std::uint64_t{i}, 7 * std::uint64_t{root[i]}});
    }
    merged += pairs.size();
    after.unite(pairs, kPieceStage);
    merge_fragments(after, options.fragment_size, 0);
    merge_fragments(whole, options.fragment_size, 0);
    ASSERT_EQ(remaining(whole), remaining(after)) << "trial " << trial;
  }
  EXPECT_GT(merged, 500u);
}

TEST(MergeOrder, ChoicesDoNotDependOnTheOrderOfRows) {
  const Communicator alone = Communicator::alone();
  std::mt19937_64 random(3);
  const RandomGraph made = random_graph(random);
  const auto chosen = [&](const OwnedGraph& graph) {
    std::vector<std::uint64_t> all;
    for (const ChoiceRow& one : graph.choices([](const BundleRow& row) { return row.score(); }, 0,
                                              [](std::size_t) { return true; })) {
      all.push_back(one.name);
      all.push_back(one.other);
      all.push_back(one.edge);
    }
    return all;
  };
  const auto first = chosen(filled(alone, made, random));
  EXPECT_EQ(first.size(), 3 * made.clusters.size());
  for (int trial = 0; trial < 20; ++trial)
    EXPECT_EQ(chosen(filled(alone, made, random)), first);
}

TEST(MergeOrder, LinkedSectionsNeedTheirOverlapToBeLargeEnough) {
  const Communicator alone = Communicator::alone();
  MergeOptions options;
  options.stages = {{MergeStage::Kind::link}};
  const auto names_after = [&](std::uint64_t common, std::int64_t millionths, bool mutual) {
    OwnedGraph graph(alone);
    // Two objects a (0) and c (1) under b (9): b's largest overlap is with a.
    graph.add({{0, 10}, {1, 10}, {9, 10}}, {}, {{0, 9, common}, {1, 9, 2}});
    options.link_millionths = millionths;
    options.link_mutual = mutual;
    run_merge_stages(graph, options);
    return graph.names();
  };
  using ::testing::ElementsAre;
  EXPECT_THAT(names_after(5, 333'333, true), ElementsAre(0, 1));  // 5 of 15
  EXPECT_THAT(names_after(5, 333'334, true), ElementsAre(0, 1, 9));
  EXPECT_THAT(names_after(5, 100'000, false), ElementsAre(0));  // 2 of 18 is enough for c's own choice
  EXPECT_THAT(names_after(5, 112'000, false), ElementsAre(0, 1));
  EXPECT_THAT(names_after(2, 0, true), ElementsAre(0, 1));  // equal overlaps: the smaller name
}

}  // namespace
}  // namespace tessera
