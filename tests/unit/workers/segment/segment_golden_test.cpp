#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/workers/segment/golden_segmentation.h"

namespace tessera {
namespace {

const std::string kGolden = std::string(TESSERA_GOLDEN) + "/segmentation";

TEST(SegmentGolden, OneBlockEqualsTheOracle) {
  const auto cases = testing::golden_cases(kGolden);
  ASSERT_EQ(cases.size(), 12u);
  for (const testing::GoldenCase& one : cases) {
    const auto found = testing::segment_by_blocks(one, one.values.shape, Communicator::alone(), 0);
    EXPECT_EQ(found.blocks, 1u);
    testing::expect_golden(one, found, one.name);
  }
}

TEST(SegmentGolden, BlocksDoNotShow) {
  std::size_t compared = 0;
  for (testing::GoldenCase one : testing::golden_cases(kGolden)) {
    const Index3 shape = one.values.shape;
    const bool large = shape.y > 32;
    std::vector<Index3> blocks{{shape.z, 7, shape.x}, {3, shape.y, 16}, {5, 13, 11}, {shape.z, shape.y, 1}};
    if (large) blocks = {{17, 32, 29}, {shape.z + 5, 20, 64}, {1, 64, 64}};
    for (const Index3& block : blocks) {
      for (const bool certain : {true, false}) {
        one.block.certain_merges = certain;
        const auto found = testing::segment_by_blocks(one, block, Communicator::alone(), 0);
        EXPECT_GT(found.blocks, 1u);
        testing::expect_golden(one, found, one.name + " in blocks of " + to_string(block));
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, 72u);
}

/// Fragments of smoothed weights. The sums are of tests/golden/segmentation/reference.py, on the weights that
/// a filter (1, 2, 1) along y and x gives: mirrored without repeating the edge, divided once, rounded down.
TEST(SegmentGolden, SmoothingEqualsTheOracleInAnyBlocks) {
  const auto cases = testing::golden_cases(kGolden);
  const auto odd = std::ranges::find(cases, "odd", &testing::GoldenCase::name);
  ASSERT_NE(odd, cases.end());
  testing::GoldenCase one = *odd;
  one.mask.reset();
  one.block.fragment_size = 20;
  const std::vector<std::string> expected{"7e71085a40d399fe814ea131fcfcaea22290cd321b9c3da058d5c69e580f2979",
                                          "995682292ef02ca1ca9fdbeedc825fed54ea9efc0802e8090aaab37d0e58ee0f"};
  std::string labels;
  for (std::size_t passes = 1; passes <= expected.size(); ++passes) {
    one.block.smoothing = static_cast<int>(passes);
    labels.clear();
    for (const Index3& block : {Index3{17, 31, 23}, Index3{5, 4, 9}, Index3{17, 1, 23}, Index3{3, 31, 2}}) {
      const auto found = testing::segment_by_blocks(one, block, Communicator::alone(), 0);
      EXPECT_EQ(testing::sha256_of(found.fragments), expected[passes - 1]) << to_string(block);
      if (labels.empty()) labels = testing::sha256_of(found.labels);
      EXPECT_EQ(testing::sha256_of(found.labels), labels) << to_string(block);
    }
  }
}

TEST(SegmentGolden, SmoothingIsMirroredAndRoundedDown) {
  std::vector<std::int32_t> weights{0, 16, 0, 65535};
  smooth_weights(weights, {1, 1, 4}, 1);  // along y a line of one voxel keeps its value
  EXPECT_EQ(weights, (std::vector<std::int32_t>{8, 8, (16 + 65535) / 4, 65535 / 2}));
  std::vector<std::int32_t> full(60, kWeightOne);
  smooth_weights(full, {3, 4, 5}, BlockGraphOptions::kMostSmoothing);
  EXPECT_EQ(full, std::vector<std::int32_t>(60, kWeightOne));
}

}  // namespace
}  // namespace tessera
