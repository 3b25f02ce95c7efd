#include "io/geometry/network_geometry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "io/geometry/box.h"
#include "tests/unit/io/geometry/unet_geometry.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

/// The output side of the valid network, layer by layer; none where a layer does not fit.
std::optional<std::int64_t> walk_valid(std::int64_t side, int depth, int block_convs) {
  for (int level = 0; level < depth; ++level) {
    side -= 2 * block_convs;
    if (side < 2 || side % 2 != 0) return {};
    side /= 2;
  }
  side -= 2 * block_convs;
  if (side < 1) return {};
  for (int level = 0; level < depth; ++level) {
    side = 2 * side - 2 * block_convs;
    if (side < 1) return {};
  }
  return side;
}

/// Whether output position `i` of the 'same' network, over an input of `side`, is free of the zero padding:
/// the range of positions it needs is followed from the output back to the input.
class CleanPosition {
 public:
  CleanPosition(int depth, int block_convs, int up_kernel)
      : depth_(depth), convs_(block_convs), up_kernel_(up_kernel) {}

  bool operator()(std::int64_t i, std::int64_t side) const { return expanding(0, {i, i}, side); }

 private:
  struct Range {
    std::int64_t first, last;
  };
  Range convolved(Range r) const { return {r.first - convs_, r.last + convs_}; }
  static bool inside(Range r, std::int64_t side) { return r.first >= 0 && r.last < side; }

  bool contracting(int level, Range r, std::int64_t side) const {
    r = convolved(r);
    return inside(r, side) && (level == 0 || contracting(level - 1, {2 * r.first, 2 * r.last + 1}, 2 * side));
  }
  bool expanding(int level, Range r, std::int64_t side) const {
    if (level == depth_) return contracting(level, r, side);
    r = convolved(r);
    if (!inside(r, side) || !contracting(level, r, side)) return false;
    const std::int64_t before = up_kernel_ == 3 && r.first % 2 == 0 ? 1 : 0;
    return expanding(level + 1, {r.first / 2 - before, r.last / 2}, side / 2);
  }

  int depth_, convs_, up_kernel_;
};

TEST(ValidGeometry, PaperNumbers) {
  const NetworkGeometry g = valid_geometry(4, 2);
  EXPECT_EQ(g.output_side(572), 388);
  EXPECT_EQ(g.core_side(572), 384);
  EXPECT_EQ(g.output_side(188), 4);
  EXPECT_EQ(g.core_side(188), 0);
  EXPECT_EQ(g.margin, 92);
  EXPECT_EQ(g.alignment, 16);
  EXPECT_EQ(g.side_remainder, 12);
  EXPECT_EQ(g.smallest_input, 188);
}

TEST(ValidGeometry, EqualsTheWalkThroughTheLayers) {
  int legal_sides = 0;
  for (int depth = 1; depth <= 5; ++depth) {
    for (int convs = 1; convs <= 3; ++convs) {
      const NetworkGeometry g = valid_geometry(depth, convs);
      EXPECT_EQ(g.alignment, 1 << depth);
      for (std::int64_t side = 1; side <= 800; ++side) {
        const auto output = walk_valid(side, depth, convs);
        ASSERT_EQ(g.is_legal_input(side), output.has_value()) << depth << " " << convs << " " << side;
        if (!output) continue;
        ASSERT_EQ(g.output_side(side), *output) << depth << " " << convs << " " << side;
        ASSERT_EQ(g.core_side(side), *output / g.alignment * g.alignment);
        ++legal_sides;
      }
    }
  }
  EXPECT_GT(legal_sides, 1000);
}

TEST(ValidGeometry, SmallestInputForACore) {
  for (int depth = 1; depth <= 4; ++depth) {
    for (int convs = 1; convs <= 2; ++convs) {
      const NetworkGeometry g = valid_geometry(depth, convs);
      for (std::int64_t core = 1; core <= 200; ++core) {
        std::int64_t side = 1;
        while (walk_valid(side, depth, convs).value_or(0) < core)
          ++side;
        ASSERT_EQ(g.input_side_for(core), side) << depth << " " << convs << " core " << core;
      }
    }
  }
}

TEST(SameGeometry, MarginsOfThePresets) {
  EXPECT_EQ(padding_reach(4, 2, 2), 94);
  EXPECT_EQ(same_geometry(4, 2, 2).margin, 96);
  EXPECT_EQ(same_geometry(4, 2, 3).margin, 112);
}

TEST(SameGeometry, ReachEqualsTheWalkBackFromTheOutput) {
  for (int depth = 1; depth <= 4; ++depth) {
    for (int convs = 1; convs <= 3; ++convs) {
      for (int up_kernel = 2; up_kernel <= 3; ++up_kernel) {
        const CleanPosition clean(depth, convs, up_kernel);
        const std::int64_t side = std::int64_t{64 * convs} << depth;
        std::int64_t first = 0, last = side - 1;
        while (!clean(first, side))
          ++first;
        while (!clean(last, side))
          --last;
        ASSERT_LT(first, last);
        EXPECT_EQ(padding_reach(depth, convs, up_kernel), std::max(first, side - 1 - last))
            << depth << " " << convs << " " << up_kernel;
        const NetworkGeometry g = same_geometry(depth, convs, up_kernel);
        EXPECT_EQ(g.margin, round_up(std::max(first, side - 1 - last), g.alignment));
      }
    }
  }
}

TEST(SameGeometry, SidesAreMultiplesOfTheAlignment) {
  const NetworkGeometry g = same_geometry(4, 2, 3);
  EXPECT_TRUE(g.is_legal_input(16));
  EXPECT_FALSE(g.is_legal_input(24));
  EXPECT_FALSE(g.is_legal_input(0));
  EXPECT_EQ(g.output_side(480), 480);
  EXPECT_EQ(g.core_side(480), 256);
  EXPECT_EQ(g.core_side(224), 0);
  EXPECT_EQ(g.input_side_for(256), 480);
  EXPECT_EQ(g.input_side_for(250), 480);
}

TEST(NetworkGeometry, LegalSidesInWords) {
  const NetworkGeometry paper = valid_geometry(4, 2);
  EXPECT_EQ(paper.legal_sides_text(580),
            "legal sides are 16 k + 12, from 204 on; the nearest to 580 are 572 and 588");
  EXPECT_THAT(paper.legal_sides_text(1), HasSubstr("are 204 and 220"));
  EXPECT_THAT(same_geometry(4, 2, 3).legal_sides_text(500),
              HasSubstr("16 k + 0, from 240 on; the nearest to 500 are 496 and 512"));
}

}  // namespace
}  // namespace tessera
