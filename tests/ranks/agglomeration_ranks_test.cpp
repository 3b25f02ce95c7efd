#include <algorithm>
#include <vector>

#include "io/base/error.h"
#include "ranks.h"
#include "workers/agglomerate/agglomeration.h"
#include "workers/agglomerate/stage_scores.h"
#include "workers/mpi/all_to_all.h"
#include "workers/numbers/random_stream.h"

namespace tessera {
namespace {

using testing::world;

/// A graph of few levels, so that linkages are ties; the same on every rank.
RegionGraph tied_graph(std::uint32_t rows, std::uint64_t seed) {
  RegionGraph graph;
  RandomStream random(seed, 0, 0);
  graph.bin_begin.push_back(0);
  for (std::uint32_t row = 0; row < rows; ++row) {
    graph.name.push_back(3 * row);
    graph.size.push_back(1);
    for (int i = 0; row > 0 && i < 4; ++i) {
      const auto count = static_cast<std::uint64_t>(random.integer(1, 3)),
                 level = static_cast<std::uint64_t>(random.integer(0, 4));
      graph.a.push_back(static_cast<std::uint32_t>(
          random.integer(std::max<std::int64_t>(0, std::int64_t{row} - 40), row - 1)));
      graph.b.push_back(row);
      graph.sum.push_back(257 * level * count);
      graph.count.push_back(count);
      graph.saddle.push_back(static_cast<std::uint16_t>(257 * level));
      graph.bins.push_back({level, count});
      graph.bin_begin.push_back(graph.bins.size());
    }
  }
  return graph;
}

/// The bundles that a rank has: by a hash, so that the shares are no regions.
RegionGraph share_of(const RegionGraph& graph) {
  RegionGraph share;
  share.bin_begin.push_back(0);
  for (std::size_t i = 0; i < graph.bundles(); ++i) {
    if (i * 7 % 11 % static_cast<std::size_t>(world().size()) != static_cast<std::size_t>(world().rank()))
      continue;
    share.a.push_back(graph.a[i]);
    share.b.push_back(graph.b[i]);
    share.sum.push_back(graph.sum[i]);
    share.count.push_back(graph.count[i]);
    share.saddle.push_back(graph.saddle[i]);
    share.bins.insert(share.bins.end(), graph.bins_of(i).begin(), graph.bins_of(i).end());
    share.bin_begin.push_back(share.bins.size());
  }
  return share;
}

TEST(AgglomerationRanks, MergesAreThoseOfOneRank) {
  for (const LinkageRule& rule :
       {LinkageRule{Linkage::mean, 50}, {Linkage::quantile, 75}, {Linkage::maximum, 50}}) {
    const RegionGraph graph = tied_graph(60, 5);
    const AgglomerationOptions options{rule, {2 * 257, 1}, OrdinalRule::larger};
    std::vector<GreedyMerge> expected = agglomerate(graph, options);
    std::sort(expected.begin(), expected.end(), [](const auto& x, const auto& y) { return x.gone < y.gone; });
    EXPECT_GT(expected.size(), 25U);
    for (const std::int64_t gather : {std::int64_t{0}, std::int64_t{40}}) {
      const std::vector<GreedyMerge> mine =
          agglomerate(share_of(graph), graph.rows(), options, world(), gather);
      const auto bytes = std::as_bytes(std::span(mine));
      const auto all =
          all_to_all(world(), std::vector<std::vector<std::byte>>(static_cast<std::size_t>(world().size()),
                                                                  {bytes.begin(), bytes.end()}));
      std::vector<GreedyMerge> together;
      for (const std::vector<std::byte>& from : all) {
        const std::size_t before = together.size();
        together.resize(before + from.size() / sizeof(GreedyMerge));
        std::copy(from.begin(), from.end(),
                  std::as_writable_bytes(std::span(together).subspan(before)).begin());
      }
      EXPECT_EQ(together, expected) << name_of(rule.linkage) << " gather " << gather;
    }
  }
}

TEST(AgglomerationRanks, AWrongGraphOnOneRankEndsAll) {
  RegionGraph share = share_of(tied_graph(30, 1));
  if (world().rank() == world().size() - 1) share.count.at(0) = 0;
  EXPECT_THROW(agglomerate(share, 30, {}, world()), Error);
}

TEST(AgglomerationRanks, ScoresDoNotDependOnTheRanks) {
  const std::vector<std::uint64_t> ids{1, 4, 9, 12, 30};
  const MergeTree tree(5, std::vector<TreeMerge>{{1, 0, 1}, {3, 2, 2}, {2, 0, 3}});
  LabelTable all, mine;
  RandomStream random(2, 0, 0);
  for (int i = 0; i < 200; ++i) {
    const auto truth = static_cast<std::uint64_t>(random.integer(0, 3));
    const auto row = static_cast<std::size_t>(random.integer(0, 5));
    const std::uint64_t id = row == 5 ? 0 : ids[row];
    all.add(truth, id, i + 1);
    if (i % world().size() == world().rank()) mine.add(truth, id, i + 1);
  }
  const std::vector<StageScores> alone = score_stages(tree, ids, all, Communicator::alone()),
                                 together = score_stages(tree, ids, mine, world());
  ASSERT_EQ(alone.size(), 4U);
  ASSERT_EQ(together.size(), 4U);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(together[i].sums, alone[i].sums);
    EXPECT_EQ(together[i].objects, alone[i].objects);
    const SplitsAndMerges one = splits_and_merges(tree, static_cast<std::uint32_t>(i), ids, all,
                                                  Communicator::alone()),
                          many = splits_and_merges(tree, static_cast<std::uint32_t>(i), ids, mine, world());
    ASSERT_EQ(many.split.size(), one.split.size());
    EXPECT_EQ(one.split.size(), 3U);
    for (std::size_t k = 0; k < one.split.size(); ++k) {
      EXPECT_EQ(many.split[k].label, one.split[k].label);
      EXPECT_EQ(many.split[k].parts, one.split[k].parts);
    }
  }
}

TEST(AllToAll, BytesArriveInAnyNumberOfRounds) {
  const auto ranks = static_cast<std::size_t>(world().size()), me = static_cast<std::size_t>(world().rank());
  for (const std::size_t round : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20}) {
    std::vector<std::vector<std::byte>> sent(ranks);
    for (std::size_t to = 0; to < ranks; ++to) {
      for (std::size_t i = 0; i < 5 * me + 3 * to; ++i)
        sent[to].push_back(static_cast<std::byte>(17 * me + 5 * to + i));
    }
    const std::vector<std::vector<std::byte>> received = all_to_all(world(), sent, round);
    ASSERT_EQ(received.size(), ranks);
    for (std::size_t from = 0; from < ranks; ++from) {
      ASSERT_EQ(received[from].size(), 5 * from + 3 * me);
      for (std::size_t i = 0; i < received[from].size(); ++i)
        EXPECT_EQ(received[from][i], static_cast<std::byte>(17 * from + 5 * me + i));
    }
  }
}

}  // namespace
}  // namespace tessera
