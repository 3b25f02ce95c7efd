#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "io/base/error.h"
#include "io/geometry/mirror.h"
#include "io/geometry/tile_grid.h"
#include "tests/unit/workers/network/random_network.h"
#include "workers/infer/block_memory.h"
#include "workers/infer/test_time_averaging.h"
#include "workers/infer/tile_predictor.h"
#include "workers/network/gpu_network.h"
#include "workers/network/network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

UNetOptions small_network(std::int64_t in_channels = 1) {
  UNetOptions options = unet2015_options();
  options.base_filters = 2;
  options.depth = 2;
  options.in_channels = in_channels;
  return options;
}

template <class T>
void fill_at_random(VoxelBuffer& volume) {
  std::uint32_t state = 12345;
  for (T& voxel : volume.as<T>()) {
    state = state * 1664525U + 1013904223U;
    voxel = static_cast<T>(state >> (sizeof(T) == 1 ? 24 : 16));
  }
}

VoxelBuffer random_volume(VoxelType type, const Index3& shape, std::int64_t channels = 1) {
  VoxelBuffer volume(type, shape, channels);
  if (type == VoxelType::uint8) fill_at_random<std::uint8_t>(volume);
  if (type == VoxelType::uint16) fill_at_random<std::uint16_t>(volume);
  if (type == VoxelType::float32) fill_at_random<float>(volume);
  return volume;
}

struct DeviceBlockCase {
  const char* what;
  VoxelType raw = VoxelType::uint8, result = VoxelType::float32;
  Averaging averaging = Averaging::none;
  Blending blending = Blending::crop;
  bool labels = false, by_section = false;
  std::int64_t context = 0, channels = 1;
  std::vector<std::int64_t> classes = {1};
};

std::ostream& operator<<(std::ostream& out, const DeviceBlockCase& c) {
  return out << c.what;
}

/// Both process blocks of several sizes in sequence, with the same tiles.
class DeviceBlocks : public ::testing::TestWithParam<DeviceBlockCase> {};

TEST_P(DeviceBlocks, EqualHostBlocks) {
  const DeviceBlockCase& c = GetParam();
  const UNetOptions options = small_network(c.channels * (2 * c.context + 1));
  const auto network = testing::random_network(options);
  const Index3 shape{5, 61, 83};
  const VoxelBuffer volume = random_volume(c.raw, shape, c.channels);
  PredictorOptions host;
  host.normalisation = c.raw == VoxelType::uint8 ? Normalisation{127, 60} : Normalisation{30000, 17000};
  host.output_type = c.labels ? VoxelType::uint8 : c.result;
  host.averaging = c.averaging;
  host.blending = c.blending;
  host.labels = c.labels;
  host.classes = c.classes;
  if (c.by_section) {
    for (std::int64_t z = 0; z < shape.z; ++z)
      host.by_section.push_back({100.0 + 10 * static_cast<double>(z), 50 + static_cast<double>(z)});
  }
  PredictorOptions device = host;
  device.blocks_on_device = true;
  const TilePredictor by_host(network, host), by_device(network, device);
  TileGridOptions layout{c.context, c.blending == Blending::crop ? 0 : 8, 0};
  const NetworkGeometry geometry = geometry_of(options);
  const std::int64_t side = geometry.input_side_for(24);
  if (c.averaging == Averaging::rotations7)
    layout.beyond_core = rotation_reach(geometry, geometry.core_side(side)).beyond_core;
  const TileGrid plain(geometry, shape, {1, side, side}, layout);
  layout.equal_inputs = true;
  const TileGrid equal(geometry, shape, {1, side, side}, layout);
  int steps = 0;
  for (const Box& block : {Box{{0, 0, 0}, {2, 32, 40}}, Box{{0, 0, 0}, {5, 61, 83}},
                           Box{{2, 16, 40}, {4, 61, 83}}, Box{{4, 40, 0}, {5, 48, 8}}}) {
    const std::vector<Tile> tiles = (steps % 2 == 0 ? plain : equal).tiles_of(block);
    const Box held = raw_box_for(tiles, shape);
    const VoxelBuffer raw = cut_mirrored(volume, Box::of_shape(shape), held, shape);
    std::int64_t told = 0;
    const VoxelBuffer a = by_host.predict(raw, held, shape, tiles, block, {}),
                      b = by_device.predict(raw, held, shape, tiles, block,
                                            [&](std::int64_t voxels) { told += voxels; });
    EXPECT_EQ(told, block.voxels());
    ASSERT_EQ(a.bytes.size(), b.bytes.size());
    ASSERT_EQ(a.type, b.type);
    ASSERT_EQ(a.channels, b.channels);
    double worst = 0, spread = 0;
    if (a.type == VoxelType::float32) {
      for (std::size_t i = 0; i < a.as<float>().size(); ++i) {
        worst = std::max(worst, static_cast<double>(std::abs(a.as<float>()[i] - b.as<float>()[i])));
        spread = std::max(spread, static_cast<double>(std::abs(a.as<float>()[i] - a.as<float>()[0])));
      }
      EXPECT_LE(worst, 1e-6) << to_string(block);
      EXPECT_GT(spread, 1e-3) << "a constant prediction proves nothing";
    } else {
      // Bytes and the bits of float16 values differ by at most one rounding, and rarely.
      std::size_t different = 0;
      const std::size_t width = a.type == VoxelType::float16 ? 2 : 1;
      for (std::size_t i = 0; i < a.bytes.size(); i += width)
        different += std::memcmp(a.bytes.data() + i, b.bytes.data() + i, width) != 0 ? 1U : 0U;
      EXPECT_LE(different * 1000, a.bytes.size()) << to_string(block);
    }
    ++steps;
  }
  EXPECT_EQ(steps, 4);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, DeviceBlocks,
    ::testing::Values(
        DeviceBlockCase{"uint8"}, DeviceBlockCase{"bytes", VoxelType::uint8, VoxelType::uint8},
        DeviceBlockCase{"uint16", VoxelType::uint16}, DeviceBlockCase{"float32", VoxelType::float32},
        DeviceBlockCase{"halves", VoxelType::uint8, VoxelType::float16},
        DeviceBlockCase{"symmetries", VoxelType::uint8, VoxelType::float32, Averaging::symmetries8},
        DeviceBlockCase{"rotations", VoxelType::uint8, VoxelType::float32, Averaging::rotations7},
        DeviceBlockCase{"blended", VoxelType::uint8, VoxelType::float32, Averaging::none, Blending::linear},
        DeviceBlockCase{"labels", VoxelType::uint8, VoxelType::uint8, Averaging::none, Blending::crop, true},
        DeviceBlockCase{"by_section", VoxelType::uint8, VoxelType::float32, Averaging::none, Blending::crop,
                        false, true},
        DeviceBlockCase{"context", VoxelType::uint8, VoxelType::float32, Averaging::none, Blending::crop,
                        false, true, 2},
        DeviceBlockCase{"channels",
                        VoxelType::uint8,
                        VoxelType::uint8,
                        Averaging::none,
                        Blending::crop,
                        false,
                        false,
                        1,
                        2,
                        {0, 1}}),
    [](const auto& test) { return test.param.what; });

TEST(DeviceBlock, NamesANonFiniteTile) {
  const auto network = testing::random_network(small_network());
  const Index3 shape{2, 40, 40};
  VoxelBuffer volume = random_volume(VoxelType::float32, shape);
  PredictorOptions options;
  options.normalisation = {30000, 17000};
  options.blocks_on_device = true;
  const NetworkGeometry geometry = geometry_of(network->description());
  const TileGrid grid(geometry, shape, {1, geometry.input_side_for(20), geometry.input_side_for(20)}, 0);
  const Box block = Box::of_shape(shape);
  const std::vector<Tile> tiles = grid.tiles_of(block);
  // Its ReLU keeps a NaN; oneDNN's does not.
  const TilePredictor predictor(make_gpu_network(*network, Precision::float32, {}),
                                NetworkTraits(network->description()), options);
  const VoxelBuffer good = predictor.predict(volume, block, shape, tiles, block, {});
  VoxelBuffer bad = volume;
  bad.as<float>()[static_cast<std::size_t>(40 * 40 + 39 * 40 + 39)] = std::numeric_limits<float>::quiet_NaN();
  try {
    predictor.predict(bad, block, shape, tiles, block, {});
    FAIL() << "the NaN was not detected";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("over z [1, 2) "), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("raw voxels"), std::string::npos)
        << "the cause is not the network: " << error.what();
    EXPECT_NE(std::string(error.what()).find("not finite"), std::string::npos) << error.what();
  }
  // The memory that the next block reuses is still valid.
  EXPECT_EQ(predictor.predict(volume, block, shape, tiles, block, {}).bytes, good.bytes);
}

TEST(DeviceBlock, QueuesASecondBlock) {
  const auto network = testing::random_network(small_network());
  PredictorOptions options;
  options.normalisation = {127, 60};
  EXPECT_FALSE(TilePredictor(network, options).queues());
  options.blocks_on_device = true;
  const TilePredictor predictor(network, options);
  EXPECT_TRUE(predictor.queues());
  const Index3 shape{3, 40, 60};
  const VoxelBuffer volume = random_volume(VoxelType::uint8, shape);
  const NetworkGeometry geometry = geometry_of(network->description());
  const TileGrid grid(geometry, shape, {1, geometry.input_side_for(20), geometry.input_side_for(20)}, 0);
  const Box whole = Box::of_shape(shape), first{{0, 0, 0}, {2, 40, 60}}, second{{2, 0, 0}, {3, 40, 40}};
  const auto queue = [&](const Box& block) {
    return predictor.queue(volume, whole, shape, grid.tiles_of(block), block, {});
  };
  const VoxelBuffer a = queue(first)->finish(), b = queue(second)->finish();
  EXPECT_NE(a.bytes[0], b.bytes[0]);
  auto one = queue(first), two = queue(second);
  EXPECT_THROW(queue(first), std::logic_error) << "there is memory for two";
  EXPECT_EQ(one->finish().bytes, a.bytes);
  one = queue(first);
  EXPECT_EQ(two->finish().bytes, b.bytes);
  two = queue(second);
  two.reset();  // destroyed before it is finished
  two = queue(second);
  EXPECT_EQ(one->finish().bytes, a.bytes);
  EXPECT_EQ(two->finish().bytes, b.bytes);
}

TEST(DeviceBlock, RejectsUnsupportedVoxelTypes) {
  const auto network = testing::random_network(small_network());
  PredictorOptions options;
  options.blocks_on_device = true;
  const Index3 shape{1, 16, 16};
  const VoxelBuffer volume(VoxelType::uint32, shape);
  const TileGrid grid(geometry_of(network->description()), shape, {1, 60, 60}, 0);
  const Box block = Box::of_shape(shape);
  EXPECT_THROW(TilePredictor(network, options).predict(volume, block, shape, grid.tiles_of(block), block, {}),
               UsageError);
}

}  // namespace
}  // namespace tessera
