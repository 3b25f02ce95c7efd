#include "workers/infer/test_time_averaging.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cmath>

#include "io/geometry/block_plan.h"
#include "io/geometry/mirror.h"
#include "io/geometry/tile_grid.h"
#include "tests/unit/io/geometry/unet_geometry.h"
#include "workers/infer/blend_weights.h"
#include "workers/infer/tile_choice.h"
#include "workers/infer/tile_predictor.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

TEST(Symmetries, AreEightAndInvertible) {
  const at::Tensor x = at::arange(12, at::kFloat).reshape({1, 1, 3, 4});
  std::vector<at::Tensor> seen;
  for (int index = 0; index < 8; ++index) {
    const at::Tensor y = apply_symmetry(x, index);
    EXPECT_TRUE(at::equal(undo_symmetry(y, index), x));
    for (const at::Tensor& other : seen)
      EXPECT_FALSE(y.sizes() == other.sizes() && at::equal(y, other));
    seen.push_back(y);
  }
  EXPECT_TRUE(at::equal(seen[0], x));
}

/// 3 y - 2 x + 5 over a box: bicubic and bilinear interpolation both reproduce it exactly.
at::Tensor ramp(const Box& box) {
  const at::Tensor y = at::arange(box.begin.y, box.end.y, at::kFloat).unsqueeze(1);
  const at::Tensor x = at::arange(box.begin.x, box.end.x, at::kFloat).unsqueeze(0);
  return (3 * y - 2 * x + 5).unsqueeze(0).unsqueeze(0);
}

TEST(Rotations, ReproduceALinearImage) {
  const NetworkGeometry geometry = valid_geometry(2, 2);
  const TileGrid grid(geometry, {1, 400, 400}, {1, geometry.input_side_for(64), geometry.input_side_for(64)},
                      0);
  int tried = 0;
  for (const Tile& tile : grid.tiles_of({{0, 128, 192}, {1, 256, 320}})) {
    for (int index = 1; index < kRotations; ++index) {
      const RotatedTile rotated = rotated_tile(tile, index, geometry, 0);
      EXPECT_EQ(rotated.output.begin.y % geometry.alignment, 0);
      EXPECT_EQ(rotated.output.begin.x % geometry.alignment, 0);
      EXPECT_TRUE(geometry.is_legal_input(rotated.input.shape().y));
      const at::Tensor seen = rotate_in(ramp(rotated.source), rotated);
      ASSERT_EQ(seen.size(2), rotated.input.shape().y);
      ASSERT_EQ(seen.size(3), rotated.input.shape().x);
      // Pixel (v, u) of the rotated grid is pixel (cos v - sin u, sin v + cos u) of the volume.
      const auto v = static_cast<double>(rotated.input.begin.y + 7),
                 u = static_cast<double>(rotated.input.begin.x + 11);
      const double expected =
          3 * (rotated.cosine * v - rotated.sine * u) - 2 * (rotated.sine * v + rotated.cosine * u) + 5;
      EXPECT_NEAR(seen[0][0][7][11].item<double>(), expected, 0.02);
      // The identity as the network: the result over the core is the ramp itself.
      const std::int64_t m = geometry.margin;
      const at::Tensor output =
          seen.narrow(2, m, seen.size(2) - 2 * m).narrow(3, m, seen.size(3) - 2 * m).squeeze(0);
      const at::Tensor back = rotate_back(output, rotated, tile.core);
      EXPECT_LT((back - ramp(tile.core).squeeze(0)).abs().max().item<double>(), 0.02);
      ++tried;
    }
  }
  EXPECT_GE(tried, 24);
}

TEST(Rotations, StayWithinTheReadBox) {
  int tried = 0;
  for (const bool same : {false, true}) {
    const NetworkGeometry geometry = same ? same_geometry(4, 2, 2) : valid_geometry(4, 2);
    for (const std::int64_t side : {16, 48, 384, 1000}) {
      const Index3 shape{1, 5000, 5000};
      const std::int64_t input = geometry.input_side_for(side);
      const NetworkTraits traits = [&] {
        NetworkTraits t;
        t.geometry = geometry;
        return t;
      }();
      const TileGrid grid =
          make_tile_grid(traits, shape, {1, input, input}, 0, {.averaging = Averaging::rotations7});
      const RotationReach reach = rotation_reach(geometry, geometry.core_side(input));
      const Tile tile = grid.tiles_of({{0, 1600, 1600}, {1, 1600 + side, 1600 + side}}).front();
      for (int index = 1; index < kRotations; ++index) {
        const RotatedTile rotated = rotated_tile(tile, index, geometry, 0);
        EXPECT_TRUE(tile.read.contains(rotated.source))
            << to_string(tile.read) << " " << to_string(rotated.source);
        EXPECT_LE(std::max(rotated.input.shape().y, rotated.input.shape().x), reach.input_side);
        ++tried;
      }
    }
  }
  EXPECT_EQ(tried, 2 * 4 * 6);
}

VoxelBuffer smooth_volume(const Index3& shape) {
  VoxelBuffer volume(VoxelType::uint8, shape);
  auto voxels = volume.as<std::uint8_t>();
  std::size_t i = 0;
  for (std::int64_t z = 0; z < shape.z; ++z) {
    for (std::int64_t y = 0; y < shape.y; ++y) {
      for (std::int64_t x = 0; x < shape.x; ++x, ++i) {
        const double value =
            std::sin(0.21 * static_cast<double>(y + 3 * z)) * std::cos(0.13 * static_cast<double>(x)) +
            std::sin(0.05 * static_cast<double>(x + y));
        voxels[i] = static_cast<std::uint8_t>(127 + 55 * value);
      }
    }
  }
  return volume;
}

struct Setting {
  Averaging averaging = Averaging::none;
  Blending blending = Blending::crop;
  std::int64_t overlap = 0;
};

/// The prediction of a whole volume by tiles and blocks.
std::vector<float> predicted(const Setting& setting, const UNetOptions& options, const VoxelBuffer& raw,
                             std::int64_t core, const Index3& block_shape, bool as_on_a_gpu = false) {
  PredictorOptions what;
  what.normalisation = {127, 60};
  what.output_type = VoxelType::float32;
  what.averaging = setting.averaging;
  what.blending = setting.blending;
  const TilePredictor predictor(make_network(options, 21), what);
  const TileDemand demand{
      .cuda = as_on_a_gpu, .averaging = setting.averaging, .blend_overlap = setting.overlap};
  const std::int64_t side = predictor.traits().geometry.input_side_for(core);
  const TileGrid grid = make_tile_grid(predictor.traits(), raw.shape, {1, side, side}, 0, demand);
  const BlockPlan plan(raw.shape, block_shape);
  std::vector<float> all(static_cast<std::size_t>(volume_of(raw.shape)), -1);
  for (std::int64_t id = 0; id < plan.count(); ++id) {
    const Box block = plan.block(id);
    const std::vector<Tile> tiles = grid.tiles_of(block);
    const Box held = raw_box_for(tiles, raw.shape);
    std::int64_t told = 0;
    const VoxelBuffer part = cut_mirrored(raw, Box::of_shape(raw.shape), held, raw.shape);
    const VoxelBuffer result =
        predictor.predict(part, held, raw.shape, tiles, block, [&](std::int64_t n) { told += n; });
    EXPECT_EQ(told, block.voxels()) << "progress counts each voxel once";
    const auto values = result.as<float>();
    std::size_t i = 0;
    for (std::int64_t z = block.begin.z; z < block.end.z; ++z) {
      for (std::int64_t y = block.begin.y; y < block.end.y; ++y) {
        for (std::int64_t x = block.begin.x; x < block.end.x; ++x) {
          all[static_cast<std::size_t>((z * raw.shape.y + y) * raw.shape.x + x)] = values[i++];
        }
      }
    }
  }
  return all;
}

double worst(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, static_cast<double>(std::abs(a[i] - b[i])));
  return largest;
}

UNetOptions small_network(bool same) {
  UNetOptions options = same ? keras_same_options() : unet2015_options();
  options.base_filters = 2;
  options.depth = 2;
  return options;
}

TEST(Rotations, HaveNoSeams) {
  const VoxelBuffer raw = smooth_volume({2, 120, 150});
  for (const bool same : {false, true}) {
    const UNetOptions options = small_network(same);
    const Setting setting{Averaging::rotations7, Blending::crop, 0};
    const auto whole = predicted(setting, options, raw, 160, {2, 120, 150});
    for (const bool as_on_a_gpu : {false, true})
      EXPECT_LE(worst(whole, predicted(setting, options, raw, 32, {1, 48, 64}, as_on_a_gpu)), 1e-4);
    EXPECT_GT(worst(whole, predicted({}, options, raw, 160, {2, 120, 150})), 1e-3)
        << "averaging changed nothing";
  }
}

TEST(Blending, DoesNotDependOnBlocks) {
  const VoxelBuffer raw = smooth_volume({1, 150, 170});
  for (const Blending blending : {Blending::linear, Blending::gaussian}) {
    const Setting setting{Averaging::none, blending, 16};
    const UNetOptions options = small_network(false);
    const auto whole = predicted(setting, options, raw, 64, {1, 150, 170});
    for (const bool as_on_a_gpu : {false, true})
      EXPECT_LE(worst(whole, predicted(setting, options, raw, 64, {1, 40, 56}, as_on_a_gpu)), 1e-6);
    // A network without tile statistics predicts the same in all tiles, so blending changes nothing.
    EXPECT_LE(worst(whole, predicted({}, options, raw, 64, {1, 150, 170})), 1e-5);
  }
}

TEST(Blending, WeightsOfNeighboursAreEqualAtTheBorder) {
  for (const Blending blending : {Blending::linear, Blending::gaussian}) {
    const auto left = blend_weights(blending, 0, 40, 0, 32, 8),
               right = blend_weights(blending, 24, 72, 32, 64, 8);
    for (std::int64_t at = 24; at < 40; ++at) {
      const float a = left[static_cast<std::size_t>(at)],
                  b = right[static_cast<std::size_t>(39 + 24 - at - 24)];
      EXPECT_FLOAT_EQ(a, b) << "mirror images at " << at;
      EXPECT_GT(a, 0);
      if (blending == Blending::linear) {
        EXPECT_NEAR(a + right[static_cast<std::size_t>(at - 24)], 1, 1e-6);
      }
    }
    EXPECT_FLOAT_EQ(right[24], 1) << "inside the cell the tile has full weight";
  }
  EXPECT_EQ(blend_weights(Blending::crop, 3, 9, 3, 9, 0), std::vector<float>(6, 1.0F));
}

}  // namespace
}  // namespace tessera
