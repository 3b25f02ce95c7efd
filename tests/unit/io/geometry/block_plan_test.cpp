#include "io/geometry/block_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;

std::int64_t draw(std::mt19937& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random() % static_cast<unsigned long>(high - low + 1));
}

Index3 draw_shape(std::mt19937& random, std::int64_t highest) {
  return {draw(random, 1, highest), draw(random, 1, highest), draw(random, 1, highest)};
}

/// How often the whole plan reads each chunk of the raw volume, on average.
double reads_per_chunk(const BlockPlan& plan, const BlockChoice& choice) {
  const Index3 shape = choice.volume_shape, chunk = *choice.input_chunk;
  const auto chunks_of = [&](const Box& box) {
    std::int64_t count = 1;
    for (int axis = 0; axis < 3; ++axis)
      count *= ceil_div(box.end[axis], chunk[axis]) - box.begin[axis] / chunk[axis];
    return count;
  };
  std::int64_t read = 0;
  for (std::int64_t id = 0; id < plan.count(); ++id) {
    read += chunks_of(intersection(plan.block(id).grown({choice.context, choice.margin, choice.margin}),
                                   Box::of_shape(shape)));
  }
  return static_cast<double>(read) / static_cast<double>(chunks_of(Box::of_shape(shape)));
}

TEST(BlockPlan, BlocksCoverEveryVoxelOnce) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 300; ++trial) {
    const Index3 shape = draw_shape(random, 20), block = draw_shape(random, 25);
    const BlockPlan plan(shape, block);
    std::vector<int> covered(static_cast<std::size_t>(volume_of(shape)), 0);
    for (std::int64_t id = 0; id < plan.count(); ++id) {
      const Box box = plan.block(id);
      ASSERT_FALSE(box.empty());
      ASSERT_TRUE(Box::of_shape(shape).contains(box));
      for (int axis = 0; axis < 3; ++axis)
        ASSERT_EQ(box.begin[axis] % block[axis], 0);
      for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
        for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
          for (std::int64_t x = box.begin.x; x < box.end.x; ++x) {
            ++covered[static_cast<std::size_t>((z * shape.y + y) * shape.x + x)];
          }
        }
      }
    }
    ASSERT_EQ(std::count(covered.begin(), covered.end(), 1), static_cast<std::ptrdiff_t>(covered.size()));
  }
}

TEST(BlockPlan, LargestBlocksAreHandedOutFirst) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 100; ++trial) {
    const BlockPlan plan(draw_shape(random, 60), draw_shape(random, 20));
    const std::vector<std::int64_t> order = plan.hand_out_order();
    std::vector<std::int64_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    ASSERT_EQ(static_cast<std::int64_t>(sorted.size()), plan.count());
    for (std::size_t i = 0; i < sorted.size(); ++i)
      ASSERT_EQ(sorted[i], static_cast<std::int64_t>(i));
    for (std::size_t i = 1; i < order.size(); ++i) {
      const std::int64_t before = plan.block(order[i - 1]).voxels(), now = plan.block(order[i]).voxels();
      ASSERT_GE(before, now);
      if (before == now) {
        ASSERT_LT(order[i - 1], order[i]) << "neighbours stay together";
      }
    }
  }
}

TEST(BlockChoice, WhatIsChosenFits) {
  std::mt19937 random(9);
  for (int trial = 0; trial < 3000; ++trial) {
    BlockChoice choice;
    const std::int64_t highest = trial % 2 == 0 ? 300 : 9000;
    choice.volume_shape = draw_shape(random, highest);
    choice.alignment = std::int64_t{1} << draw(random, 1, 5);
    choice.voxel_bytes = draw(random, 2, 8);
    if (trial % 3 != 0) {
      choice.input_chunk =
          trial % 3 == 1 ? draw_shape(random, 300)
                         : Index3{draw(random, 1, 64), 16 * draw(random, 1, 32), 16 * draw(random, 1, 32)};
    }
    const Index3 chunk = choose_output_chunk(choice), block = choose_block_shape(choice, chunk);
    const std::string where =
        to_string(choice.volume_shape) + " chunk " + to_string(chunk) + " block " + to_string(block);
    ASSERT_EQ(message_of([&] { require_fitting_block(block, chunk, choice); }), "no error") << where;
    const BlockPlan plan(choice.volume_shape, block);
    for (int axis = 0; axis < 3; ++axis) {
      ASSERT_GE(chunk[axis], 1) << where;
      ASSERT_LE(chunk[axis], choice.volume_shape[axis]) << where;
      ASSERT_GE(block[axis], 1) << where;
      if (block[axis] >= choice.volume_shape[axis]) continue;
      ASSERT_EQ(block[axis] % chunk[axis], 0) << where;
      if (axis > 0) {
        ASSERT_EQ(block[axis] % choice.alignment, 0) << where;
      }
    }
  }
}

TEST(BlockChoice, Fib25ReadsItsChunksOnce) {
  BlockChoice choice;
  choice.volume_shape = {250, 250, 250};
  choice.input_chunk = Index3{64, 64, 64};
  const Index3 chunk = choose_output_chunk(choice), block = choose_block_shape(choice, chunk);
  EXPECT_EQ(chunk, (Index3{64, 64, 64}));
  const BlockPlan plan(choice.volume_shape, block);
  EXPECT_GT(plan.count(), 1) << "several workers want something to do";
  EXPECT_LE(reads_per_chunk(plan, choice), 1.5);
}

TEST(BlockChoice, LargeVolumesReadTheirChunksOnceAndABit) {
  for (const Index3 input_chunk : {Index3{64, 64, 64}, Index3{8, 128, 128}, Index3{16, 256, 256},
                                   Index3{5, 100, 100}, Index3{65, 125, 125}}) {
    BlockChoice choice;
    choice.volume_shape = {320, 9000, 7000};
    choice.input_chunk = input_chunk;
    choice.voxel_bytes = 2;
    const Index3 block = choose_block_shape(choice, choose_output_chunk(choice));
    EXPECT_LE(reads_per_chunk(BlockPlan(choice.volume_shape, block), choice), 1.5) << to_string(input_chunk);
  }
}

TEST(BlockChoice, ContextSectionsDoNotReadThreeLayersForOne) {
  BlockChoice choice;
  choice.volume_shape = {640, 1000, 1000};
  choice.input_chunk = Index3{16, 128, 128};
  choice.context = 1;
  const Index3 block = choose_block_shape(choice, choose_output_chunk(choice));
  EXPECT_LE(reads_per_chunk(BlockPlan(choice.volume_shape, block), choice), 1.5);
}

TEST(BlockChoice, ChunksOfTheRawVolumeAreKeptWhereTheyFit) {
  BlockChoice choice;
  choice.volume_shape = {100, 1000, 900};
  EXPECT_EQ(choose_output_chunk(choice), (Index3{4, 256, 256})) << "contiguous";
  choice.input_chunk = Index3{8, 128, 128};
  EXPECT_EQ(choose_output_chunk(choice), (Index3{8, 128, 128}));
  choice.input_chunk = Index3{8, 100, 100};
  EXPECT_EQ(choose_output_chunk(choice), (Index3{8, 256, 256})) << "off the network's alignment, but as deep";
  choice.input_chunk = Index3{100, 100, 100};
  EXPECT_EQ(choose_output_chunk(choice), (Index3{100, 128, 128})) << "deep chunks are narrower";
  choice.input_chunk = Index3{1, 1000, 900};
  EXPECT_EQ(choose_output_chunk(choice), (Index3{1, 1000, 900})) << "whole sections";
  choice.input_chunk = Index3{4, 16, 16};
  EXPECT_EQ(choose_output_chunk(choice), (Index3{4, 256, 256})) << "too small to be written one by one";
  choice.volume_shape = {2, 90, 70};
  choice.input_chunk.reset();
  EXPECT_EQ(choose_output_chunk(choice), (Index3{2, 90, 70})) << "no larger than the volume";
}

TEST(BlockChoice, AnUnfitBlockSaysWhatWouldFit) {
  BlockChoice choice;
  choice.volume_shape = {100, 1000, 900};
  const Index3 chunk{4, 250, 256};
  EXPECT_EQ(message_of([&] { require_fitting_block({8, 2000, 512}, chunk, choice); }), "no error");
  EXPECT_EQ(message_of([&] { require_fitting_block({100, 1000, 900}, chunk, choice); }), "no error");
  EXPECT_THROW(require_fitting_block({8, 500, 512}, chunk, choice), UsageError);
  EXPECT_THAT(message_of([&] {
                require_fitting_block({8, 500, 512}, chunk, choice);
              }),
              AllOf(HasSubstr("along y"), HasSubstr("multiple of 2000"), HasSubstr("chunk 250"),
                    HasSubstr("alignment 16")));
  EXPECT_THAT(message_of([&] {
                require_fitting_block({6, 1000, 512}, chunk, choice);
              }),
              HasSubstr("along z"));
  EXPECT_THAT(message_of([&] { require_fitting_block({4, 1000, 0}, chunk, choice); }), HasSubstr("along x"));
}

}  // namespace
}  // namespace tessera
