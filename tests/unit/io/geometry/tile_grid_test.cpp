#include "io/geometry/tile_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "io/base/error.h"
#include "io/geometry/block_plan.h"
#include "tests/unit/error_message.h"
#include "tests/unit/io/geometry/unet_geometry.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;

/// Random plans: networks, volumes of 1 pixel or more, tiles, blocks.
class RandomPlan {
 public:
  explicit RandomPlan(std::mt19937& random) : random_(random) {
    const int depth = static_cast<int>(draw(1, 4)), convs = static_cast<int>(draw(1, 2));
    geometry = draw(0, 1) == 0 ? valid_geometry(depth, convs)
                               : same_geometry(depth, convs, static_cast<int>(draw(2, 3)));
    context = draw(0, 2);
    shape = {draw(1, 3), draw_side(), draw_side()};
    for (int axis = 1; axis < 3; ++axis) {
      tile_input[axis] = geometry.input_side_for(geometry.alignment * draw(1, 6));
      block_shape[axis] = geometry.alignment * draw(1, 12);
    }
    block_shape.z = draw(1, 2);
  }

  NetworkGeometry geometry;
  Index3 shape, tile_input, block_shape;
  std::int64_t context = 0;

 private:
  std::int64_t draw(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random_() % static_cast<unsigned long>(high - low + 1));
  }
  std::int64_t draw_side() { return draw(0, 3) == 0 ? draw(1, 3) : draw(1, 200); }

  std::mt19937& random_;
};

/// Checks what holds for every tile of every plan.
void expect_sound(const Tile& tile, const RandomPlan& plan, bool equal_inputs) {
  const NetworkGeometry& g = plan.geometry;
  ASSERT_EQ(tile.core.shape().z, 1);
  ASSERT_EQ(tile.input.begin.z, tile.core.begin.z - plan.context);
  ASSERT_EQ(tile.input.end.z, tile.core.end.z + plan.context);
  ASSERT_EQ(tile.core_in_output.begin.z, 0);
  ASSERT_EQ(tile.core_in_output.shape(), tile.core.shape());
  for (int axis = 1; axis < 3; ++axis) {
    const std::int64_t begin = tile.input.begin[axis], side = tile.input.shape()[axis];
    const std::int64_t lost = g.padding == Padding::valid ? g.margin : 0;
    ASSERT_TRUE(g.is_legal_input(side)) << side;
    const std::int64_t full = g.padding == Padding::valid
                                  ? plan.tile_input[axis]
                                  : std::min(plan.tile_input[axis], round_up(plan.shape[axis], g.alignment));
    ASSERT_LE(side, full);
    ASSERT_TRUE(side == full || !equal_inputs) << side;
    ASSERT_EQ((begin + lost) % g.alignment, 0) << "the pooling grid is in another phase";
    ASSERT_EQ(begin + lost + tile.core_in_output.begin[axis], tile.core.begin[axis]);
    ASSERT_GE(tile.core_in_output.begin[axis], 0);
    ASSERT_LE(tile.core_in_output.end[axis], g.output_side(side));
    if (g.padding == Padding::same) {
      const std::int64_t far_end = round_up(plan.shape[axis], g.alignment);
      ASSERT_TRUE(begin == 0 || tile.core_in_output.begin[axis] >= g.margin)
          << "padding is seen inside the section";
      ASSERT_TRUE(tile.input.end[axis] == far_end || tile.core.end[axis] + g.margin <= tile.input.end[axis]);
    }
  }
}

TEST(TileGrid, CoresCoverEveryVoxelOnce) {
  std::mt19937 random(7);
  std::int64_t tiles_seen = 0;
  for (int trial = 0; trial < 400; ++trial) {
    const RandomPlan plan(random);
    const bool equal_inputs = trial % 2 == 1;
    const TileGrid grid(plan.geometry, plan.shape, plan.tile_input,
                        {.context = plan.context, .equal_inputs = equal_inputs});
    const BlockPlan blocks(plan.shape, plan.block_shape);
    std::vector<int> covered(static_cast<std::size_t>(volume_of(plan.shape)), 0);
    for (std::int64_t id = 0; id < blocks.count(); ++id) {
      for (const Tile& tile : grid.tiles_of(blocks.block(id))) {
        expect_sound(tile, plan, equal_inputs);
        if (HasFatalFailure()) FAIL() << "trial " << trial << ", shape " << to_string(plan.shape);
        ASSERT_TRUE(Box::of_shape(plan.shape).contains(tile.core));
        for (std::int64_t y = tile.core.begin.y; y < tile.core.end.y; ++y) {
          for (std::int64_t x = tile.core.begin.x; x < tile.core.end.x; ++x) {
            ++covered[static_cast<std::size_t>((tile.core.begin.z * plan.shape.y + y) * plan.shape.x + x)];
          }
        }
        ++tiles_seen;
      }
    }
    ASSERT_EQ(std::count(covered.begin(), covered.end(), 1), static_cast<std::ptrdiff_t>(covered.size()))
        << "trial " << trial << ", shape " << to_string(plan.shape);
  }
  EXPECT_GT(tiles_seen, 5000);
}

TEST(TileGrid, RedundancyIsInputPerOutput) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 200; ++trial) {
    const RandomPlan plan(random);
    const bool equal_inputs = trial % 2 == 1;
    const TileGrid grid(plan.geometry, plan.shape, plan.tile_input,
                        {.context = plan.context, .equal_inputs = equal_inputs});
    const BlockPlan blocks(plan.shape, plan.block_shape);
    double read = 0, written = 0;
    for (std::int64_t id = 0; id < blocks.count(); ++id) {
      for (const Tile& tile : grid.tiles_of(blocks.block(id))) {
        read += static_cast<double>(tile.input.shape().y * tile.input.shape().x);
        written += static_cast<double>(tile.core.voxels());
      }
    }
    ASSERT_GT(written, 0);
    ASSERT_NEAR(grid.redundancy(plan.block_shape), read / written, 1e-9 * read / written);
  }
}

TEST(TileGrid, ThePapersTile) {
  const TileGrid grid(valid_geometry(4, 2), {1, 1000, 384}, {0, 572, 572}, 0);
  EXPECT_EQ(grid.core_shape(), (Index3{1, 384, 384}));
  const std::vector<Tile> tiles = grid.tiles_of({{0, 0, 0}, {1, 1000, 384}});
  ASSERT_EQ(tiles.size(), 3U);
  EXPECT_EQ(tiles[0].input, (Box{{0, -92, -92}, {1, 480, 480}}));
  EXPECT_EQ(tiles[1].core, (Box{{0, 384, 0}, {1, 768, 384}}));
  EXPECT_EQ(tiles[1].core_in_output, (Box{{0, 0, 0}, {1, 384, 384}}));
  EXPECT_EQ(tiles[2].core, (Box{{0, 768, 0}, {1, 1000, 384}}));
  EXPECT_EQ(tiles[2].input.shape().y, 428) << "232 pixels are left: no need to compute 384";
}

TEST(TileGrid, EqualInputsReachBackIntoTheBlock) {
  const TileGrid grid(valid_geometry(4, 2), {1, 1000, 100}, {0, 572, 572}, {.equal_inputs = true});
  const std::vector<Tile> tiles = grid.tiles_of({{0, 0, 0}, {1, 1000, 100}});
  ASSERT_EQ(tiles.size(), 3U);
  EXPECT_EQ(tiles[2].core, (Box{{0, 768, 0}, {1, 1000, 100}}));
  EXPECT_EQ(tiles[2].input, (Box{{0, 532, -92}, {1, 1104, 480}}));
  EXPECT_EQ(tiles[2].core_in_output, (Box{{0, 144, 0}, {1, 376, 100}}));
}

TEST(TileGrid, AWholeSectionIsOneTile) {
  for (const NetworkGeometry& geometry : {valid_geometry(4, 2), same_geometry(4, 2, 3)}) {
    for (const Index3 shape : {Index3{3, 1, 1}, Index3{3, 16, 17}, Index3{3, 250, 301}}) {
      const Tile tile = whole_section_tile(geometry, shape, 2, 1);
      EXPECT_EQ(tile.core, (Box{{2, 0, 0}, {3, shape.y, shape.x}}));
      EXPECT_EQ(tile.input.begin.z, 1);
      EXPECT_EQ(tile.input.end.z, 4);
      EXPECT_TRUE(geometry.is_legal_input(tile.input.shape().y));
    }
  }
}

TEST(TileGrid, AnIllegalTileNamesLegalOnes) {
  const Index3 shape{1, 500, 500};
  for (const Index3 side : {Index3{0, 580, 572}, Index3{0, 572, 580}}) {
    EXPECT_THROW(TileGrid(valid_geometry(4, 2), shape, side, 0), UsageError);
    EXPECT_THAT(message_of([&] { TileGrid(valid_geometry(4, 2), shape, side, 0); }),
                AllOf(HasSubstr("a tile of 580 pixels"), HasSubstr("16 k + 12"), HasSubstr("572 and 588")));
  }
  EXPECT_THAT(message_of([&] {
                TileGrid(valid_geometry(4, 2), shape, {0, 188, 188}, 0);
              }),
              HasSubstr("from 204 on"))
      << "4 pixels of output hold no core of 16";
  EXPECT_THAT(message_of([&] {
                TileGrid(same_geometry(4, 2, 2), shape, {0, 192, 208}, 0);
              }),
              HasSubstr("from 208 on"));
}

}  // namespace
}  // namespace tessera
