#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tessera
