#include "workers/samples/sample_warp.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "io/geometry/mirror.h"
#include "tests/unit/io/geometry/unet_geometry.h"
#include "tests/unit/temporary_folder.h"
#include "training_volumes.h"
#include "workers/samples/augmentation.h"

namespace tessera {
namespace {

constexpr Index3 kWarpShape{3, 60, 70};
constexpr std::int64_t kSide = 24;

/// A ramp in the grey values and in the labels, whose value is the position.
class SampleWarpTest : public ::testing::Test {
 protected:
  TrainingData data(std::int64_t context = 0) {
    TrainingDataOptions o;
    o.raw = testing::write_volume(
        folder_ / "em.h5", "raw", VoxelType::float32, kWarpShape,
        [](const Index3& p) { return static_cast<double>(1000 * p.z + 3 * p.y + p.x); });
    o.labels =
        testing::write_volume(folder_ / "em.h5", "labels", VoxelType::uint8, kWarpShape, [](const Index3& p) {
          return static_cast<double>((p.y / 8 + p.x / 8) % 3 * 2 % 5);  // classes 0, 2, 4 of 5
        });
    o.sections = {0, 3};
    o.classes = 5;
    o.context = context;
    o.weight_map.w0 = 10;
    return TrainingData(o);
  }
  Sample cut(const TrainingData& from, const SampleWarp& warp, std::int64_t y = 20,
             std::int64_t x = 24) const {
    return from.cut(1, y, x, kSide, valid_geometry(1, 1), 0, 1, warp);
  }
  testing::TemporaryFolder folder_;
};

/// Where the first input pixel of an output at (y, x) is, for kSide.
std::int64_t lost() {
  return (kSide - valid_geometry(1, 1).output_side(kSide)) / 2;
}

TEST_F(SampleWarpTest, WithoutDisplacementTheResamplingIsTheCut) {
  const TrainingData held = data();
  SampleWarp nothing;
  EXPECT_TRUE(nothing.is_identity());
  nothing.section_shifts = {{0, 0}};
  ASSERT_FALSE(nothing.is_identity()) << "takes the way of the resampling";
  for (const std::int64_t at : {20, -30, 50}) {
    const Sample plain = cut(held, {}, at, at), warped = cut(held, nothing, at, at);
    EXPECT_EQ(warped.input, plain.input);
    EXPECT_EQ(warped.classes, plain.classes);
    EXPECT_EQ(warped.border, plain.border);
    EXPECT_FALSE(plain.border.empty());
  }
}

TEST_F(SampleWarpTest, ARampFollowsAKnownDisplacement) {
  const TrainingData held = data();
  SampleWarp warp;
  warp.shift = {2.25, -1.4};
  const Sample plain = cut(held, {}), moved = cut(held, warp);
  for (std::size_t i = 0; i < plain.input.size(); ++i)
    ASSERT_NEAR(moved.input[i], plain.input[i] + 3 * 2.25F - 1.4F, 2e-4);
  // Equal displacements of all nodes are a shift, too.
  SampleWarp elastic;
  elastic.nodes.fill({2.25, -1.4});
  const Sample displaced = cut(held, elastic);
  for (std::size_t i = 0; i < plain.input.size(); ++i)
    ASSERT_NEAR(displaced.input[i], moved.input[i], 2e-4);
  EXPECT_EQ(displaced.classes, moved.classes);
}

TEST_F(SampleWarpTest, ARampIsRotatedAndScaled) {
  const TrainingData held = data();
  for (const auto& [angle, scale] :
       {std::pair{0.3, 1.0}, std::pair{-2.0, 1.0}, std::pair{0.0, 1.25}, std::pair{1.0, 0.8}}) {
    SampleWarp warp;
    warp.angle = angle, warp.scale = scale;
    const Sample rotated = cut(held, warp);
    const double middle = (kSide - 1) / 2.0;
    const double base_y = 20.0 - static_cast<double>(lost()), base_x = 24.0 - static_cast<double>(lost());
    for (std::int64_t p = 0; p < kSide * kSide; ++p) {
      const double v = static_cast<double>(p / kSide) - middle, u = static_cast<double>(p % kSide) - middle;
      const double y = base_y + middle + (std::cos(angle) * v + std::sin(angle) * u) / scale;
      const double x = base_x + middle + (-std::sin(angle) * v + std::cos(angle) * u) / scale;
      ASSERT_NEAR(rotated.input[static_cast<std::size_t>(p)], 1000 + 3 * y + x, 1e-3);
    }
  }
}

// A quarter turn is numpy's rot90, which the exact symmetries are, too.
TEST_F(SampleWarpTest, RotationBy90DegreesIsTheSymmetry) {
  const TrainingData held = data();
  SampleWarp warp;
  warp.angle = std::numbers::pi / 2;
  const Sample rotated = cut(held, warp);
  Sample expected = cut(held, {});
  std::vector<float> scratch;
  apply_symmetry<float>({1, false}, kSide, expected.input.data(), scratch);
  for (std::size_t i = 0; i < rotated.input.size(); ++i)
    ASSERT_NEAR(rotated.input[i], expected.input[i], 1e-3);
}

TEST_F(SampleWarpTest, LabelsComeFromTheNearestPixelAndStayInTheirSet) {
  const TrainingData held = data();
  AugmentationOptions options;
  options.elastic = 10, options.rotation = 180, options.scaling = 0.3, options.shift = 5;
  std::set<int> seen;
  for (std::uint64_t i = 0; i < 20; ++i) {
    RandomStream random(1, 0, i);
    const SampleWarp warp = draw_warp(options, 1, random);
    const Sample sample = cut(held, warp);
    const std::vector<Place> places = source_places(warp, kSide, lost(), sample.output_side);
    for (std::size_t p = 0; p < places.size(); ++p) {
      const std::int64_t y =
          mirror_index(20 - lost() + static_cast<std::int64_t>(std::floor(places[p].y + 0.5)), kWarpShape.y);
      const std::int64_t x =
          mirror_index(24 - lost() + static_cast<std::int64_t>(std::floor(places[p].x + 0.5)), kWarpShape.x);
      ASSERT_EQ(sample.classes[p], (y / 8 + x / 8) % 3 * 2 % 5);
      if (sample.classes[p] != 0) {
        ASSERT_EQ(sample.border[p], 0) << "a weight stays with its label";
      }
      seen.insert(sample.classes[p]);
    }
  }
  EXPECT_EQ(seen, (std::set<int>{0, 2, 4}));
}

TEST(DrawWarp, WithoutOptionsNothingIsDrawn) {
  RandomStream a(1, 0, 0), b(1, 0, 0);
  EXPECT_TRUE(draw_warp({}, 3, a).is_identity());
  EXPECT_EQ(a.next(), b.next());
}

TEST(DrawWarp, DisplacementsAreGaussianOfTheirDeviation) {
  AugmentationOptions options;
  options.elastic = 10;
  double sum = 0, squares = 0, product = 0, fourth = 0;
  constexpr int kCount = 4000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    RandomStream random(5, 0, i);
    for (const Place& node : draw_warp(options, 1, random).nodes) {
      sum += node.y + node.x, squares += node.y * node.y + node.x * node.x;
      product += node.y * node.x, fourth += std::pow(node.y, 4) + std::pow(node.x, 4);
    }
  }
  const double count = 2.0 * 9 * kCount;
  EXPECT_NEAR(sum / count, 0, 0.15);
  EXPECT_NEAR(std::sqrt(squares / count), 10, 0.15);
  EXPECT_NEAR(fourth / count / 1e4, 3, 0.15);
  EXPECT_NEAR(product / (count / 2), 0, 1.5) << "y and x are independent";
}

// At its nodes the field is theirs: the corners, the sides' middles and the centre of the input.
TEST(SourcePlaces, TheFieldInterpolatesItsNodes) {
  SampleWarp warp;
  for (std::size_t i = 0; i < 9; ++i)
    warp.nodes[i] = {static_cast<double>(i), -2.0 * static_cast<double>(i)};
  constexpr std::int64_t side = 25;
  const std::vector<Place> places = source_places(warp, side, 0, side);
  for (std::int64_t i = 0; i < 9; ++i) {
    const std::int64_t y = i / 3 * 12, x = i % 3 * 12;
    const Place& found = places[static_cast<std::size_t>(y * side + x)];
    EXPECT_NEAR(found.y, static_cast<double>(y + i), 1e-12);
    EXPECT_NEAR(found.x, static_cast<double>(x - 2 * i), 1e-12);
  }
}

TEST_F(SampleWarpTest, OnlyNeighbouringSectionsAreMisaligned) {
  const TrainingData held = data(1);
  AugmentationOptions options;
  options.misaligned_section = 1;
  options.misalignment = 4;
  RandomStream random(2, 0, 0);
  const SampleWarp warp = draw_warp(options, 3, random);
  ASSERT_EQ(warp.section_shifts.size(), 3U);
  EXPECT_EQ(warp.section_shifts[1], (std::array<std::int64_t, 2>{0, 0}));
  const Sample plain = cut(held, {}), moved = cut(held, warp);
  const std::size_t plane = kSide * kSide;
  for (std::size_t i = 0; i < moved.input.size(); ++i) {
    const auto& shift = warp.section_shifts[i / plane];
    ASSERT_NEAR(moved.input[i], plain.input[i] + static_cast<float>(3 * shift[0] + shift[1]), 1e-3);
  }
  EXPECT_EQ(moved.classes, plain.classes);
  EXPECT_NE(moved.input, plain.input);
}

}  // namespace
}  // namespace tessera
