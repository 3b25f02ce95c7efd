// Prediction on a device: law 2, and the CPU's probabilities in float32.
#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "on_device.h"
#include "tests/unit/workers/device/operator_recorder.h"
#include "tests/unit/workers/infer/tiled_prediction.h"
#include "workers/device/cuda_runtime.h"
#include "workers/device/out_of_memory.h"
#include "workers/infer/tile_choice.h"
#include "workers/network/gpu_network.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using testing::difference_of;
using testing::predict_tiled;
using testing::predict_whole;
using testing::PredictionDifference;

/// A network and a volume.
struct Case {
  std::string name;
  std::shared_ptr<Network> network;
  Index3 shape, tile, block;
  std::int64_t context = 0;
};

class Prediction : public testing::OnDevice {
 protected:
  PredictorOptions options(Precision precision) const {
    PredictorOptions options = testing::float_options();
    options.precision = precision;
    options.device = device();
    return options;
  }
  /// Both presets with golden weights; on a GPU also with their full width. Some sections are smaller than
  /// tiles and blocks, so that every tile has mirrored borders.
  std::vector<Case> cases() const {
    std::vector<Case> all;
    all.push_back({"unet2015, 2 filters",
                   testing::golden_network("unet2015.h5", testing::small(unet2015_options())),
                   {2, 151, 203},
                   {1, 236, 252},
                   {1, 64, 80}});
    all.push_back({"keras_same, 2 filters",
                   testing::golden_network("keras_same.h5", testing::small(keras_same_options())),
                   {1, 301, 403},
                   {1, 272, 288},
                   {1, 96, 160}});
    if (!is_cuda()) return all;
    all.push_back({"unet2015, 64 filters",
                   make_network(unet2015_options(), 7),
                   {1, 700, 900},
                   {1, 572, 572},
                   {1, 448, 512}});
    all.push_back({"keras_same, 16 filters",
                   make_network(keras_same_options(), 7),
                   {1, 700, 900},
                   {1, 576, 640},
                   {1, 448, 512}});
    UNetOptions sections = unet2015_options();
    sections.in_channels = 3;
    all.push_back(
        {"unet2015, 3 sections", make_network(sections, 7), {3, 300, 400}, {1, 316, 300}, {2, 192, 256}, 1});
    return all;
  }
  /// Tiles as in the program on this device.
  TileGridOptions layout_of(const Case& c) const { return {.context = c.context, .equal_inputs = is_cuda()}; }
  static std::string text(const PredictionDifference& d) {
    return fmt::format("largest {:.2e}, mean {:.2e}", d.largest, d.mean);
  }
};

TEST_P(Prediction, TiledEqualsTheWholeSection) {
  for (const Case& c : cases()) {
    const TilePredictor predictor(c.network, options(Precision::float32));
    const VoxelBuffer raw = testing::random_volume(c.shape);
    const PredictionDifference seam =
        difference_of(predict_whole(predictor, raw, c.context),
                      predict_tiled(predictor, raw, c.tile, c.block, layout_of(c)));
    say(fmt::format("tiled against whole, {}: {}", c.name, text(seam)));
    // A section is an input of another size. cuDNN then has another reduction order (2.4e-5 with 64 filters);
    // the custom CUDA kernels have the same.
    const bool exact = predictor.invariance().shape;
    EXPECT_LE(seam.largest, is_cuda() && !exact ? 6e-5 : 1e-5) << c.name << ", " << predictor.engine_text();
    EXPECT_LE(seam.mean, 5e-6) << c.name;
  }
}

/// Law 2, bitwise. On the CPU gpu_network_test.cpp tests it.
TEST_P(Prediction, ExactTilesAreTheWholeSection) {
  if (!is_cuda() || !cuda_launcher())
    GTEST_SKIP()
        << "no CUDA device, or built without CUDA's headers: no kernels with a fixed reduction order";
  int compared = 0;
  for (const Case& c : cases()) {
    for (const Precision precision : {Precision::float32, Precision::bfloat16, Precision::float16}) {
      PredictorOptions exact = options(precision);
      exact.exact_tiles = ExactTiles::yes;
      const std::int64_t filters = c.network->description().layers.front().out_channels;
      if (precision != Precision::float32 && filters % 8 != 0) continue;
      const TilePredictor predictor(c.network, exact);
      const VoxelBuffer raw = testing::random_volume(c.shape);
      const std::vector<float> whole = predict_whole(predictor, raw, c.context);
      const PredictionDifference seam =
          difference_of(whole, predict_tiled(predictor, raw, c.tile, c.block, layout_of(c)));
      say(fmt::format("exact tiles against whole, {}, {}: {}", c.name, name_of(precision), text(seam)));
      EXPECT_EQ(seam.largest, 0) << c.name << ", " << predictor.engine_text();
      // Compared with cuDNN, whose sums have another rounding.
      PredictorOptions other = options(precision);
      other.exact_tiles = ExactTiles::no;
      const PredictionDifference rounding =
          difference_of(whole, predict_whole(TilePredictor(c.network, other), raw, c.context));
      say(fmt::format("fixed reduction order against LibTorch, {}, {}: {}", c.name, name_of(precision),
                      text(rounding)));
      EXPECT_LE(rounding.largest, precision == Precision::float32   ? 1e-4
                                  : precision == Precision::float16 ? 2e-2
                                                                    : 0.1)
          << c.name;
      EXPECT_LE(rounding.mean, precision == Precision::float32   ? 1e-5
                               : precision == Precision::float16 ? 1e-3
                                                                 : 4e-3)
          << c.name;
      ++compared;
    }
  }
  EXPECT_GE(compared, 11);
}

/// In bfloat16 another reduction order changes as much as bfloat16 itself
/// (tests/benchmarks/reduction_order.py). So the whole section, an input of another size, is no reference
/// where tiles are not exact. Seams appear if a pixel depends on its place in a tile. So tiles of one size at
/// other places must give the same output. Without kernels with a fixed reduction order, it may differ by
/// rounding.
TEST_P(Prediction, APixelIsTheSameWhereverItIsInATile) {
  const std::int64_t core = is_cuda() ? 384 : 208;
  const UNetOptions network = is_cuda() ? unet2015_options() : testing::small(unet2015_options());
  const NetworkGeometry geometry = geometry_of(network);
  const Index3 shape{1, 2 * core + 100, 2 * core + 60},
      tile{1, geometry.input_side_for(core), geometry.input_side_for(core)};
  const VoxelBuffer raw = testing::random_volume(shape);
  const TileGridOptions layout{.equal_inputs = true};
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    const TilePredictor predictor(make_network(network, 7), options(precision));
    const std::vector<float> here = predict_tiled(predictor, raw, tile, shape, layout);
    PredictionDifference seam;
    std::int64_t compared = 0;
    // Other steps than those that the network itself tries (is_translation_invariant).
    for (const std::int64_t shift : {32, 112}) {
      const Box moved{{0, shift, shift}, {1, shape.y, shape.x}};
      const VoxelBuffer shifted = cut_mirrored(raw, Box::of_shape(shape), moved, shape);
      const std::vector<float> there = predict_tiled(predictor, shifted, tile, {1, core, core}, layout);
      // Not at the start of the section, where the mirrored part differs.
      const std::int64_t begin = geometry.margin + geometry.alignment;
      for (std::int64_t y = begin; y < moved.shape().y; ++y) {
        for (std::int64_t x = begin; x < moved.shape().x; ++x, ++compared) {
          const double one =
              std::abs(static_cast<double>(there[static_cast<std::size_t>(y * moved.shape().x + x)]) -
                       here[static_cast<std::size_t>((y + shift) * shape.x + x + shift)]);
          seam.largest = std::isfinite(one) ? std::max(seam.largest, one) : 1e30;
          seam.mean += one;
        }
      }
    }
    EXPECT_GT(compared, core * core);
    seam.mean /= static_cast<double>(compared);
    const std::string engine = predictor.engine_text();
    say(fmt::format("tiles of {} placed otherwise, {}: {}; {}", tile.y, name_of(precision), text(seam),
                    engine));
    if (!is_cuda()) {
      EXPECT_LE(seam.largest, precision == Precision::float32 ? 1e-5 : 2e-3);
    } else if (predictor.invariance().translation) {
      EXPECT_EQ(seam.largest, 0);
    } else {
      EXPECT_LE(seam.largest, precision == Precision::float32 ? 6e-5 : 0.1);
      EXPECT_LE(seam.mean, precision == Precision::float32 ? 5e-6 : 4e-3);
    }
  }
}

TEST_P(Prediction, IsThatOfTheCpuInFloat32) {
  struct Limit {
    Precision precision;
    double largest, mean;
  };
  // About twice the result of reduction_order.py for 64 filters.
  std::vector<Limit> limits{{Precision::float32, 1e-4, 1e-5}, {Precision::bfloat16, 1e-1, 4e-3}};
  if (is_cuda()) limits.push_back({Precision::float16, 2e-2, 1e-3});
  for (const Case& c : cases()) {
    const VoxelBuffer raw = testing::random_volume(c.shape);
    // The reference: LibTorch's operators on one thread.
    const TilePredictor reference(make_libtorch_network(*c.network, Precision::float32, {}),
                                  NetworkTraits(c.network->description()), testing::float_options());
    const std::vector<float> expected = predict_whole(reference, raw, c.context);
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    ASSERT_GT(*high - *low, 0.01) << "the output must differ between pixels";
    for (const Limit& limit : limits) {
      const TilePredictor predictor(c.network, options(limit.precision));
      const PredictionDifference d = difference_of(expected, predict_whole(predictor, raw, c.context));
      say(fmt::format("against the CPU's float32, {}, {}: {}", c.name, name_of(limit.precision), text(d)));
      EXPECT_LE(d.largest, limit.largest) << c.name << ", " << predictor.engine_text();
      EXPECT_LE(d.mean, limit.mean) << c.name << ", " << predictor.engine_text();
    }
  }
}

TEST_P(Prediction, BytesAreTheProbabilitiesWithinOneGreyValue) {
  for (const Case& c : cases()) {
    const VoxelBuffer raw = testing::random_volume(c.shape);
    const Tile tile = whole_section_tile(geometry_of(c.network->description()), c.shape, 0, c.context);
    const auto predict = [&](const PredictorOptions& how) {
      return TilePredictor(c.network, how)
          .predict(raw, Box::of_shape(c.shape), c.shape, {tile}, tile.core, {});
    };
    PredictorOptions bytes = options(Precision::float32), half = bytes, labels = bytes,
                     cpu = testing::float_options();
    bytes.output_type = VoxelType::uint8;
    half.output_type = VoxelType::float16;
    labels.labels = true;
    labels.output_type = VoxelType::uint8;
    const VoxelBuffer p = predict(cpu), p8 = predict(bytes), p16 = predict(half), most = predict(labels);
    const at::Tensor from_half = at::from_blob(const_cast<std::byte*>(p16.bytes.data()),
                                               {static_cast<std::int64_t>(p.as<float>().size())}, at::kHalf)
                                     .to(at::kFloat);
    std::size_t compared = 0;
    for (std::size_t i = 0; i < p.as<float>().size(); ++i, ++compared) {
      const float expected = p.as<float>()[i];
      ASSERT_NEAR(p8.as<std::uint8_t>()[i], 255 * expected, 1.0) << c.name << ", voxel " << i;
      ASSERT_NEAR(from_half.data_ptr<float>()[i], expected, 1e-3) << c.name << ", voxel " << i;
      if (std::abs(expected - 0.5F) > 1e-3F) {
        ASSERT_EQ(most.as<std::uint8_t>()[i], expected > 0.5F ? 1 : 0) << c.name << ", voxel " << i;
      }
    }
    EXPECT_EQ(compared, static_cast<std::size_t>(tile.core.voxels()));
  }
}

TEST_P(Prediction, AveragesAndBlendsAsTheCpuDoes) {
  const auto network = testing::golden_network("unet2015.h5", testing::small(unet2015_options()));
  const Index3 shape{1, 100, 130};
  const VoxelBuffer raw = testing::random_volume(shape);
  const NetworkTraits traits(network->description());
  for (const Averaging averaging : {Averaging::symmetries8, Averaging::rotations7}) {
    TileDemand demand;
    demand.averaging = averaging;
    const TileGrid grid = make_tile_grid(traits, shape, {1, 236, 236}, 0, demand);
    const std::vector<Tile> tiles = grid.tiles_of(Box::of_shape(shape));
    PredictorOptions here = options(Precision::float32), cpu = testing::float_options();
    here.averaging = cpu.averaging = averaging;
    const auto predict = [&](const PredictorOptions& how) {
      const VoxelBuffer made =
          TilePredictor(network, how)
              .predict(raw, Box::of_shape(shape), shape, tiles, Box::of_shape(shape), {});
      return std::vector<float>(made.as<float>().begin(), made.as<float>().end());
    };
    EXPECT_LE(difference_of(predict(here), predict(cpu)).largest, 1e-4);
  }
}

TEST_P(Prediction, TheSameAgainIsTheSameBits) {
  const Case c = cases().back();
  const VoxelBuffer raw = testing::random_volume(c.shape);
  const TilePredictor predictor(c.network, options(is_cuda() ? Precision::bfloat16 : Precision::float32));
  const std::vector<float> first = predict_whole(predictor, raw, c.context);
  EXPECT_EQ(predict_whole(predictor, raw, c.context), first);
}

/// `tile: auto` with enough memory chooses the largest tile that LibTorch's tensors can hold, and it runs.
TEST_P(Prediction, TheLargestTileFits) {
  const UNetOptions network_options = is_cuda() ? unet2015_options() : testing::small(unet2015_options());
  const std::int64_t largest = is_cuda() ? 4092 : 572, smaller = is_cuda() ? 1020 : 284;
  const Precision precision = is_cuda() ? Precision::bfloat16 : Precision::float32;
  const std::int64_t core = geometry_of(network_options).core_side(largest);
  const Index3 shape{1, core, core};
  TileDemand demand;
  demand.budget = std::int64_t{64} << 30;
  demand.precision = precision;
  demand.cuda = is_cuda();
  const Index3 tile = choose_tile(NetworkTraits(network_options), shape, shape, demand);
  EXPECT_EQ(tile, (Index3{1, largest, largest}));
  if (is_cuda()) {
    const Index3 wider{1, core + 16, core + 16};
    EXPECT_LT(choose_tile(NetworkTraits(network_options), wider, wider, demand).y, largest)
        << "2^31 values in the widest layer";
  }
  const auto network = make_network(network_options, 7);
  const TilePredictor predictor(network, options(precision));
  const VoxelBuffer raw = testing::random_volume(shape);
  const PredictionDifference seam =
      difference_of(predict_tiled(predictor, raw, tile, shape, {}),
                    predict_tiled(predictor, raw, {1, smaller, smaller}, shape, {}));
  say(fmt::format("tiles of {} against {}: {}", largest, smaller, text(seam)));
  EXPECT_LE(seam.mean, precision == Precision::float32 ? 1e-6 : 5e-3)
      << "each size is summed in its own order";
  EXPECT_LE(seam.largest, precision == Precision::float32 ? 1e-5 : 0.2);
}

TEST_P(Prediction, MemoryThatRunsOutIsSaidAndGoesOn) {
  const c10::InferenceMode inference;
  const auto device_of_tensors =
      is_cuda() ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device().index)) : at::Device(at::kCPU);
  if (!is_cuda()) {
    // More than any address space.
    const at::Tensor input = at::zeros({1, 1, 8, 8});
    EXPECT_THROW(named_out_of_memory(input, [] { return at::empty({std::int64_t{1} << 46}); }), OutOfMemory);
    return;
  }
  const auto network = make_tile_network(*make_network(unet2015_options(), 7), Precision::float32, device());
  const at::Tensor large =
      at::zeros({1, 1, 2044, 2044}, at::TensorOptions(at::kFloat).device(device_of_tensors));
  std::vector<at::Tensor> taken;  // all of the device's memory, except for less than a first layer
  const auto bytes = at::TensorOptions(at::kByte).device(device_of_tensors);
  try {
    while (taken.size() < 4096)
      taken.push_back(at::empty({std::int64_t{1} << 30}, bytes));
  } catch (const c10::Error&) {
  }
  ASSERT_GT(taken.size(), 1U);
  EXPECT_THROW(network->logits(large), OutOfMemory);
  taken.clear();
  const at::Tensor tile =
      at::zeros({1, 1, 572, 572}, at::TensorOptions(at::kFloat).device(device_of_tensors));
  EXPECT_TRUE(network->logits(tile).isfinite().all().item<bool>()) << "smaller tiles still work";
}

TEST_P(Prediction, Float16NeedsAGpu) {
  const auto network = testing::golden_network("unet2015.h5", testing::small(unet2015_options()));
  if (is_cuda()) {
    EXPECT_NO_THROW(TilePredictor(network, options(Precision::float16)));
  } else {
    EXPECT_THROW(TilePredictor(network, options(Precision::float16)), UsageError);
  }
}

TEST_P(Prediction, EveryKernelAnswersTheSame) {
  const c10::InferenceMode inference;
  for (const Case& c : cases()) {
    const NetworkGeometry geometry = geometry_of(c.network->description());
    const std::int64_t side = geometry.input_side_for(64), channels = c.network->description().in_channels;
    for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
      const auto plain = make_gpu_network(*c.network, precision, device(), {.kernels = GpuKernels{}});
      at::manual_seed(4);
      const at::Tensor x = at::randn({1, channels, side, side}).to(is_cuda() ? at::kCUDA : at::kCPU);
      const at::Tensor right = plain->logits(x);
      const double scale = right.abs().max().item<double>();
      ASSERT_GT(scale, 0);
      for (const bool fused : {false, true}) {
        if (fused && !is_cuda()) continue;
        for (const bool maxima : {false, true}) {
          for (const KernelRecorder& record :
               {KernelRecorder{}, is_cuda() ? cuda_recorder() : testing::operator_recorder()}) {
            const auto network = make_gpu_network(*c.network, precision, device(),
                                                  {.kernels = GpuKernels{fused, maxima}, .record = record});
            double worst = 0;
            // The second call records, the third one replays, with another input between them.
            for (const double factor : {1.0, 1.0, 0.5, 1.0}) {
              const at::Tensor answer = network->logits(x * factor);
              if (factor == 1.0) worst = std::max(worst, (answer - right).abs().max().item<double>() / scale);
            }
            say(fmt::format("{}, {}: {:.2g} of the largest logit", c.name, network->text(), worst));
            EXPECT_LE(worst, precision == Precision::float32 ? 1e-4 : 0.05);
          }
        }
      }
    }
  }
}

TEST_P(Prediction, CustomKernelsAnswerTheSame) {
  const KernelLauncher launch = is_cuda() ? cuda_launcher() : KernelLauncher();
  if (!launch) GTEST_SKIP() << "no CUDA device, or built without CUDA's headers: no custom CUDA kernels";
  const c10::InferenceMode inference;
  int started = 0;
  const KernelLauncher counted = [&](const KernelStart& start, std::span<void*> arguments) {
    ++started;
    launch(start, arguments);
  };
  for (const Case& c : cases()) {
    const std::int64_t side = geometry_of(c.network->description()).input_side_for(64),
                       channels = c.network->description().in_channels;
    const auto plain = make_gpu_network(*c.network, Precision::bfloat16, device(), {.kernels = GpuKernels{}});
    at::manual_seed(4);
    const at::Tensor x = at::randn({2, channels, side, side}).to(at::kCUDA);
    const at::Tensor right = plain->logits(x);
    const double scale = right.abs().max().item<double>();
    ASSERT_GT(scale, 0);
    for (const bool fused : {false, true}) {
      for (const KernelRecorder& record : {KernelRecorder{}, cuda_recorder()}) {
        const auto network = make_gpu_network(
            *c.network, Precision::bfloat16, device(),
            {.kernels = GpuKernels{.fused = fused, .own = true}, .record = record, .launch = counted});
        double worst = 0;
        for (const double factor : {1.0, 1.0, 0.5, 1.0}) {
          const at::Tensor answer = network->logits(x * factor);
          if (factor == 1.0) worst = std::max(worst, (answer - right).abs().max().item<double>() / scale);
        }
        say(fmt::format("{}, {}: {:.2g} of the largest logit", c.name, network->text(), worst));
        EXPECT_LE(worst, 0.05);
      }
    }
  }
  EXPECT_GT(started, 50);
}

TEST_P(Prediction, WhatIsNotFiniteIsSeen) {
  // cuDNN's fused ReLU hides NaN, so the input is checked, too.
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    PredictorOptions what = options(precision);
    what.blocks_on_device = true;
    const auto network = testing::golden_network("unet2015.h5", testing::small(unet2015_options()));
    const TilePredictor predictor(make_gpu_network(*network, precision, device()),
                                  NetworkTraits(network->description()), what);
    const Index3 shape{1, 64, 64};
    VoxelBuffer raw(VoxelType::float32, shape);
    raw.as<float>()[2000] = std::nanf("");
    const Tile whole = whole_section_tile(geometry_of(network->description()), shape, 0, 0);
    EXPECT_THROW(predictor.predict(raw, Box::of_shape(shape), shape, {whole}, whole.core, {}), Error);
  }
}

TESSERA_ON_EVERY_DEVICE(Prediction);

}  // namespace
}  // namespace tessera
