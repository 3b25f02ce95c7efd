#include "workers/infer/tile_predictor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/base/error.h"
#include "tiled_prediction.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using testing::float_options;
using testing::golden_network;
using testing::random_volume;
using testing::small;

double worst_seam(const std::shared_ptr<Network>& network, const Index3& shape, const Index3& tile_input,
                  const Index3& block_shape, std::int64_t context, Averaging averaging = Averaging::none) {
  PredictorOptions options = float_options();
  options.averaging = averaging;
  return testing::worst_seam(network, shape, tile_input, block_shape, context, options);
}

struct SeamCase {
  const char* what;
  bool same;
  Index3 shape, tile, block;
  std::int64_t context = 0;
};

class NoSeams : public ::testing::TestWithParam<SeamCase> {};

TEST_P(NoSeams, TiledEqualsWhole) {
  const SeamCase& c = GetParam();
  UNetOptions options = small(c.same ? keras_same_options() : unet2015_options());
  std::shared_ptr<Network> network;
  if (c.context == 0) {
    network = golden_network(c.same ? "keras_same.h5" : "unet2015.h5", options);
  } else {
    options.in_channels = 2 * c.context + 1;
    network = make_network(options, 5);
  }
  EXPECT_LE(worst_seam(network, c.shape, c.tile, c.block, c.context), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, NoSeams,
    ::testing::Values(SeamCase{"odd", false, {2, 151, 203}, {1, 236, 252}, {1, 64, 80}},
                      SeamCase{"one_pixel", false, {1, 1, 1}, {1, 204, 204}, {1, 16, 16}},
                      SeamCase{"one_row", false, {1, 1, 130}, {1, 204, 236}, {1, 16, 48}},
                      SeamCase{"smaller_than_margin", false, {1, 37, 50}, {1, 204, 220}, {1, 16, 32}},
                      SeamCase{"one_tile", false, {1, 100, 100}, {1, 300, 300}, {1, 112, 112}},
                      SeamCase{"many_tiles", false, {1, 160, 170}, {1, 204, 204}, {1, 160, 176}},
                      SeamCase{"context", false, {3, 60, 70}, {1, 220, 236}, {2, 32, 48}, 1},
                      SeamCase{"same_odd", true, {2, 301, 403}, {1, 272, 288}, {1, 96, 160}},
                      SeamCase{"same_one_pixel", true, {1, 1, 1}, {1, 240, 240}, {1, 16, 16}},
                      SeamCase{"same_small", true, {1, 37, 250}, {1, 240, 256}, {1, 16, 48}},
                      SeamCase{"same_one_tile", true, {1, 200, 210}, {1, 448, 448}, {1, 208, 224}}),
    [](const auto& test) { return test.param.what; });

/// Law 2 over tile sizes, block sizes and the 8 symmetries.
class EveryTiling : public ::testing::TestWithParam<bool> {};

TEST_P(EveryTiling, EqualsTheWholeSection) {
  const bool same = GetParam();
  const auto network = golden_network(same ? "keras_same.h5" : "unet2015.h5",
                                      small(same ? keras_same_options() : unet2015_options()));
  const Index3 shape = same ? Index3{1, 210, 235} : Index3{1, 150, 213};
  const std::vector<std::int64_t> tiles =
      same ? std::vector<std::int64_t>{288, 304, 352, 416} : std::vector<std::int64_t>{204, 220, 268, 396};
  int tried = 0;
  for (const std::int64_t tile : tiles) {
    for (const Index3& block : {Index3{1, 64, 96}, Index3{1, 160, 112}, Index3{1, 512, 512}}) {
      for (const Averaging averaging : {Averaging::none, Averaging::symmetries8}) {
        EXPECT_LE(worst_seam(network, shape, {1, tile, tile}, block, 0, averaging), 1e-5)
            << tile << " " << to_string(block);
        ++tried;
      }
    }
  }
  EXPECT_EQ(tried, 24);
}

INSTANTIATE_TEST_SUITE_P(Networks, EveryTiling, ::testing::Values(false, true),
                         [](const auto& test) { return test.param ? "keras_same" : "unet2015"; });

TEST(Seams, AppearWhenTilesIgnoreThePoolingPhase) {
  // A negative control: the paper's placement, with tiles one output (not one core) apart, has seams.
  const auto network = golden_network("unet2015.h5", small(unet2015_options()));
  const Index3 shape{1, 100, 100};
  const VoxelBuffer raw = random_volume(shape);
  const TilePredictor predictor(network, float_options());
  const Tile whole = whole_section_tile(geometry_of(network->description()), shape, 0, 0);
  const VoxelBuffer expected = predictor.predict(raw, Box::of_shape(shape), shape, {whole}, whole.core, {});
  Tile off;  // a tile whose origin is 4 pixels out of phase
  off.core = {{0, 20, 20}, {1, 36, 36}};
  off.input = {{0, 20 - 92, 20 - 92}, {1, 20 - 92 + 204, 20 - 92 + 204}};
  off.core_in_output = {{0, 0, 0}, {1, 16, 16}};
  const VoxelBuffer shifted = predictor.predict(raw, Box::of_shape(shape), shape, {off}, off.core, {});
  double worst = 0;
  for (std::int64_t y = 0; y < 16; ++y) {
    for (std::int64_t x = 0; x < 16; ++x) {
      worst = std::max(
          worst, std::abs(static_cast<double>(shifted.as<float>()[static_cast<std::size_t>(y * 16 + x)]) -
                          expected.as<float>()[static_cast<std::size_t>((20 + y) * 100 + 20 + x)]));
    }
  }
  EXPECT_GT(worst, 1e-3);
}

TEST(SamePadding, NeedsTheWholeMargin) {
  // Following the zero padding through the layers gives 109 px for a 3x3 up-convolution. One pixel less must
  // show an influence. It is tiny at the border, so float64 is used to detect it.
  const UNetOptions options = small(keras_same_options());
  const std::shared_ptr<Network> network = make_network(options, 11);
  network->eval();
  network->to(at::kDouble);
  torch::NoGradGuard no_grad;
  at::manual_seed(2);
  const std::int64_t side = 512, cut = 128;
  const at::Tensor x = at::rand({1, 1, 16, side}, at::kDouble);
  const at::Tensor whole = network->forward(x);
  const at::Tensor part = network->forward(x.narrow(3, cut, side - cut));
  const at::Tensor difference = (whole.narrow(3, cut, side - cut) - part).abs().amax({0, 1, 2});
  const std::int64_t reach = padding_reach(options, 2);
  EXPECT_EQ(reach, 109);
  // Beyond it only the rounding of another reduction order may differ.
  EXPECT_LT(difference.slice(0, reach, side - cut).max().item<double>(), 1e-12);
  EXPECT_GT(difference.slice(0, 0, reach).max().item<double>(), 1e-6);
  std::int64_t last = 0;
  for (std::int64_t i = 0; i < side - cut; ++i) {
    if (difference[i].item<double>() > 0) last = i;
  }
  EXPECT_GE(last, reach - 16) << "the margin is larger than it needs to be";
}

TEST(TilePredictor, BFloat16StaysNearFloat32) {
  const auto options = small(unet2015_options());
  const Index3 shape{1, 64, 64};
  const VoxelBuffer raw = random_volume(shape);
  PredictorOptions single = float_options(), half = float_options();
  half.precision = Precision::bfloat16;
  const Tile tile = whole_section_tile(geometry_of(options), shape, 0, 0);
  for (const bool same : {false, true}) {
    const auto file = same ? "keras_same.h5" : "unet2015.h5";
    const auto network_options = small(same ? keras_same_options() : unet2015_options());
    const Tile whole = same ? whole_section_tile(geometry_of(network_options), shape, 0, 0) : tile;
    const TilePredictor a(golden_network(file, network_options), single),
        b(golden_network(file, network_options), half);
    const VoxelBuffer p = a.predict(raw, Box::of_shape(shape), shape, {whole}, whole.core, {});
    const VoxelBuffer q = b.predict(raw, Box::of_shape(shape), shape, {whole}, whole.core, {});
    double mean = 0;
    for (std::size_t i = 0; i < p.as<float>().size(); ++i)
      mean += std::abs(p.as<float>()[i] - q.as<float>()[i]);
    EXPECT_LE(mean / static_cast<double>(p.as<float>().size()), 0.01) << file;
  }
}

TEST(TilePredictor, WritesTheSelectedClassesAndType) {
  const auto network = golden_network("unet2015.h5", small(unet2015_options()));
  const Index3 shape{1, 20, 20};
  const VoxelBuffer raw = random_volume(shape);
  const Tile tile = whole_section_tile(geometry_of(network->description()), shape, 0, 0);
  PredictorOptions first = float_options(), second = float_options(), bytes = float_options();
  first.classes = {0};
  bytes.output_type = VoxelType::uint8;
  const auto run = [&](const PredictorOptions& options) {
    return TilePredictor(network, options).predict(raw, Box::of_shape(shape), shape, {tile}, tile.core, {});
  };
  const VoxelBuffer p0 = run(first), p1 = run(second), p8 = run(bytes);
  for (std::size_t i = 0; i < 400; ++i) {
    EXPECT_NEAR(p0.as<float>()[i] + p1.as<float>()[i], 1, 1e-6);
    EXPECT_EQ(p8.as<std::uint8_t>()[i], static_cast<int>(std::nearbyint(255 * p1.as<float>()[i])));
  }
  PredictorOptions wrong = float_options();
  wrong.classes = {2};
  EXPECT_THROW(TilePredictor(network, wrong), UsageError);
}

}  // namespace
}  // namespace tessera
