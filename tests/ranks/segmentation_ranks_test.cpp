#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "ranks.h"
#include "tests/unit/workers/segment/golden_segmentation.h"
#include "tests/unit/workers/segment/random_rows.h"

namespace tessera {
namespace {

using testing::world;

const std::string kSegmentGolden = std::string(TESSERA_GOLDEN) + "/segmentation";

/// All ranks compute together where `gather_rows` is 0; else rank 0 merges alone.
void expect_golden_by_blocks(const std::set<std::string>& names, const std::vector<Index3>& blocks,
                             std::int64_t gather_rows) {
  std::size_t compared = 0;
  for (testing::GoldenCase one : testing::golden_cases(kSegmentGolden)) {
    if (names.count(one.name) == 0) continue;
    for (const Index3& block : blocks) {
      one.block.certain_merges = compared % 2 == 0;
      const auto found = testing::segment_by_blocks(one, block, world(), gather_rows);
      testing::expect_golden(one, found, one.name + " in blocks of " + to_string(block));
      ++compared;
    }
  }
  EXPECT_EQ(compared, names.size() * blocks.size());
}

TEST(SegmentRanks, BlockShapesEqualTheOracle) {
  expect_golden_by_blocks(
      {"odd"}, {{1, 31, 23}, {17, 1, 23}, {5, 7, 6}, {9, 16, 12}, {20, 40, 30}, {2, 30, 22}, {17, 31, 23}},
      0);
}

TEST(SegmentRanks, BlockShapesOfGatheredGraphsEqualTheOracle) {
  expect_golden_by_blocks({"odd"}, {{17, 31, 1}, {8, 8, 8}, {17, 15, 23}, {4, 31, 5}, {16, 16, 16}}, 1 << 20);
  expect_golden_by_blocks({"constant", "zero", "sections_one_sided"}, {{5, 40, 40}}, 1 << 20);
}

TEST(SegmentRanks, SectionsEqualTheOracle) {
  expect_golden_by_blocks({"sections"}, {{4, 50, 96}}, 0);
}

TEST(SegmentRanks, TiesEqualTheOracle) {
  expect_golden_by_blocks({"volume_ties"}, {{32, 40, 64}}, 0);
}

/// Compares greedy merges with those of one rank and one block, to the sums and counts of each merge.
void expect_greedy_as_alone(const std::string& name, MergeLinkage linkage, std::int64_t gather_rows) {
  const testing::GoldenCase one = testing::greedy_case(kSegmentGolden, name, linkage);
  const auto alone = testing::segment_by_blocks(one, one.values.shape, Communicator::alone(), 0);
  EXPECT_GT(alone.linkages.size(), 20u);
  EXPECT_TRUE(testing::segment_by_blocks(one, {5, 20, 48}, world(), gather_rows) == alone) << name;
}

TEST(SegmentRanks, GreedyMergesEqualThoseOfOneRank) {
  expect_greedy_as_alone("odd", MergeLinkage::mean, 0);
  expect_greedy_as_alone("odd", MergeLinkage::maximum, 0);
  expect_greedy_as_alone("odd", MergeLinkage::mean, 1 << 20);
  expect_greedy_as_alone("sections_one_sided", MergeLinkage::mean, 0);
}

TEST(SegmentRanks, QuantilesEqualTheOracle) {
  std::size_t compared = 0;
  for (const testing::GoldenCase& one : testing::quantile_cases(kSegmentGolden)) {
    if (!one.name.starts_with("odd") && !one.name.starts_with("sections")) continue;
    const std::int64_t gather_rows = compared % 2 == 0 ? 0 : 1 << 20;
    const auto found = testing::segment_by_blocks(one, {5, 20, 48}, world(), gather_rows);
    testing::expect_golden_greedy(one, found, one.name);
    ++compared;
  }
  EXPECT_EQ(compared, 10u);
}

TEST(SegmentRanks, AffinitiesEqualTheOracle) {
  std::size_t compared = 0;
  for (const testing::GoldenCase& one : testing::affinity_cases(kSegmentGolden)) {
    if (one.values.shape.y > 32 && one.name != "sections") continue;
    const auto found = testing::segment_by_blocks(one, {5, 20, 48}, world(), compared % 2 == 0 ? 0 : 1 << 20);
    testing::expect_golden_greedy(one, found, one.name);
    ++compared;
  }
  EXPECT_EQ(compared, 5u);
}

TEST(SegmentRanks, QuantilesOfRandomGraphsAreThoseOfTheDefinition) {
  const char* graphs = std::getenv("TESSERA_GRAPHS");
  std::int64_t merges = 0;
  EXPECT_EQ(
      testing::graphs_merged_otherwise(graphs != nullptr ? std::atoi(graphs) : 100, 11, world(), merges), 0);
  if (world().is_root()) {
    EXPECT_GT(merges, 300);
  }
}

TEST(SegmentRanks, ExchangeSendsAnyNumberOfBytesInSlices) {
  const int ranks = world().size();
  std::vector<std::byte> bytes;
  std::vector<std::int64_t> counts;
  for (int to = 0; to < ranks; ++to) {
    const int count = (7 * world().rank() + 3 * to) % 11;  // some are 0
    counts.push_back(count);
    for (int i = 0; i < count; ++i)
      bytes.push_back(static_cast<std::byte>(16 * world().rank() + to + i));
  }
  for (const std::int64_t slice : {std::int64_t{1}, std::int64_t{13}, kExchangeBytes}) {
    std::vector<std::int64_t> got = counts;
    const std::vector<std::byte> received = exchange_bytes(world(), bytes, got, slice);
    std::vector<std::byte> expected;
    for (int from = 0; from < ranks; ++from) {
      for (int i = 0; i < (7 * from + 3 * world().rank()) % 11; ++i)
        expected.push_back(static_cast<std::byte>(16 * from + world().rank() + i));
      EXPECT_EQ(got[static_cast<std::size_t>(from)], (7 * from + 3 * world().rank()) % 11);
    }
    EXPECT_EQ(received, expected);
  }
}

}  // namespace
}  // namespace tessera
