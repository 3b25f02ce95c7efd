#include "workers/network/gpu_network.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "random_network.h"
#include "tests/unit/error_message.h"
#include "tests/unit/workers/device/host_launcher.h"
#include "tests/unit/workers/device/operator_recorder.h"
#include "workers/device/out_of_memory.h"
#include "workers/network/network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using testing::NetworkCase;

// The same operators run on a GPU. tests/gpu tests the features that only a GPU has: cuDNN's fused kernels
// and graphs.
class GpuNetworkOnCpu : public ::testing::TestWithParam<NetworkCase> {};

TEST_P(GpuNetworkOnCpu, AgreesWithLibTorch) {
  const UNetOptions options = testing::options_of(GetParam());
  const auto network = testing::random_network(options);
  const NetworkGeometry geometry = geometry_of(options);
  const c10::InferenceMode inference;
  for (const bool maxima : {false, true}) {
    GpuNetworkOptions options_with_kernels;
    options_with_kernels.kernels = GpuKernels{false, maxima};
    const auto arranged = make_gpu_network(*network, Precision::float32, {}, options_with_kernels),
               half = make_gpu_network(*network, Precision::bfloat16, {}, options_with_kernels),
               reference = make_libtorch_network(*network, Precision::float32, {});
    for (const std::int64_t more : {0, 3, 0}) {
      const std::int64_t side = geometry.input_side_for(16) + geometry.alignment * more;
      const at::Tensor x = at::randn({1, options.in_channels, side, side + 2 * geometry.alignment});
      const at::Tensor a = arranged->logits(x), b = reference->logits(x), h = half->logits(x);
      ASSERT_EQ(a.sizes(), b.sizes());
      EXPECT_EQ(a.scalar_type(), at::kFloat);
      const double scale = b.abs().max().item<double>();
      ASSERT_GT(scale, 0.01);
      EXPECT_LE((a - b).abs().max().item<double>() / scale, 1e-5) << "side " << side << ", maxima " << maxima;
      EXPECT_LE((h - b).abs().max().item<double>() / scale, 0.05) << "side " << side << ", maxima " << maxima;
    }
  }
}

TEST_P(GpuNetworkOnCpu, RecordedPassesGiveEqualOutput) {
  const UNetOptions options = testing::options_of(GetParam());
  const auto network = testing::random_network(options);
  const NetworkGeometry geometry = geometry_of(options);
  const c10::InferenceMode inference;
  int recorded = 0;
  const KernelRecorder record = testing::counted_recorder(recorded);
  const auto plain = make_gpu_network(*network, Precision::float32, {}, {.kernels = GpuKernels{}}),
             replayed = make_gpu_network(*network, Precision::float32, {},
                                         {.kernels = GpuKernels{}, .record = record});
  std::vector<std::pair<at::Tensor, at::Tensor>> outputs;
  for (const std::int64_t more : {0, 0, 0, 1, 0, 1, 1, 1}) {
    const std::int64_t side = geometry.input_side_for(16) + geometry.alignment * more;
    const at::Tensor x = at::randn({1, options.in_channels, side, side});
    outputs.emplace_back(replayed->logits(x), plain->logits(x));
  }
  EXPECT_EQ(recorded, 2) << "one recording per shape, at its second use";
  for (const auto& [found, expected] : outputs)
    EXPECT_TRUE(found.equal(expected)) << "a later pass must not change an earlier output";
}

TEST(GpuNetwork, AlternatingShapesDoNotEvictRecordings) {
  const UNetOptions options = testing::options_of(testing::kNetworkCases.front());
  const auto network = testing::random_network(options);
  const NetworkGeometry geometry = geometry_of(options);
  const c10::InferenceMode inference;
  int recorded = 0;
  const KernelRecorder record = testing::counted_recorder(recorded);
  const auto replayed =
      make_gpu_network(*network, Precision::float32, {}, {.kernels = GpuKernels{}, .record = record});
  for (int round = 0; round < 3; ++round) {
    for (std::int64_t more = 0; more < 6; ++more) {
      const at::Tensor x = at::zeros({1, options.in_channels, geometry.input_side_for(16),
                                      geometry.input_side_for(16 + geometry.alignment * more)});
      replayed->logits(x);
      replayed->logits(x);
    }
  }
  EXPECT_EQ(recorded, 4) << "the maximum number of recordings";
}

TEST(GpuNetwork, LaunchesKernelsOneByOneIfRecordingFails) {
  const UNetOptions options = testing::options_of(testing::kNetworkCases.front());
  const auto network = testing::random_network(options);
  const c10::InferenceMode inference;
  int tried = 0;
  const KernelRecorder record =
      [&](const std::function<void()>& kernels) -> std::unique_ptr<RecordedKernels> {
    kernels();
    ++tried;
    TORCH_CHECK(false, "operation not permitted when stream is capturing");
  };
  const auto failing = make_gpu_network(*network, Precision::float32, {},
                                        {.kernels = GpuKernels{}, .record = record}),
             plain = make_gpu_network(*network, Precision::float32, {}, {.kernels = GpuKernels{}});
  const std::int64_t side = geometry_of(options).input_side_for(16);
  for (int i = 0; i < 4; ++i) {
    const at::Tensor x = at::randn({1, options.in_channels, side, side});
    EXPECT_TRUE(failing->logits(x).equal(plain->logits(x)));
  }
  EXPECT_EQ(tried, 1);
}

TEST(GpuNetwork, ExactTilesEqualTheWholeBitForBit) {
  const c10::InferenceMode inference;
  struct Case {
    NetworkCase network;
    Precision precision;
  };
  // The engine first compares each layer on images of about ten thousand pixels, which takes seconds on the
  // CPU. So the test does not combine all networks with all precisions.
  for (const auto& [c, precision] : {Case{{"flat", false, 8, 1, 2, 1, 1}, Precision::bfloat16},
                                     Case{{"context_and_depth", false, 8, 3, 3, 2, 1}, Precision::float32},
                                     Case{{"keras", true, 8, 2, 1, 1, 1, 3, true}, Precision::float32}}) {
    const UNetOptions options = testing::options_of(c);
    const NetworkGeometry geometry = geometry_of(options);
    const auto network = testing::random_network(options);
    const auto reference = make_libtorch_network(*network, Precision::float32, {});
    const std::int64_t core = 2 * geometry.alignment, side = geometry.input_side_for(core),
                       larger = geometry.input_side_for(2 * core);
    const at::Tensor section = at::randn({1, options.in_channels, larger, larger + geometry.alignment});
    int started = 0;
    const auto exact = make_gpu_network(
        *network, precision, {}, {.exact_tiles = ExactTiles::yes, .launch = testing::host_launcher(started)});
    const at::Tensor whole = exact->logits(section),
                     tile = exact->logits(section.narrow(2, 0, side).narrow(3, 0, side));
    EXPECT_TRUE(exact->invariance().translation && exact->invariance().shape) << exact->text();
    EXPECT_GT(started, 20);
    const std::int64_t border = options.padding == Padding::same ? geometry.margin : 0;
    const auto first = [&](const at::Tensor& of) {
      return of.narrow(2, 0, tile.size(2) - border).narrow(3, 0, tile.size(3) - border);
    };
    EXPECT_TRUE(first(tile).equal(first(whole))) << c.what << ", " << name_of(precision);
    const at::Tensor expected = reference->logits(section);
    const double error = (whole - expected).abs().max().item<double>() / expected.abs().max().item<double>();
    EXPECT_LE(error, precision == Precision::float32 ? 1e-5 : 0.05) << c.what;
  }
}

TEST(GpuNetwork, RejectsExactTilesThatAreNotPossible) {
  const auto network = testing::random_network(testing::options_of(testing::kNetworkCases.front())),
             odd = testing::random_network(testing::options_of({.what = "odd", .filters = 5}));
  int started = 0;
  const KernelLauncher launch = testing::host_launcher(started);
  const KernelLauncher fails = [](const KernelStart&, std::span<void*>) {
    TORCH_CHECK(false, "NVRTC is not found");
  };
  const auto make = [](const Network& of, Precision precision, const KernelLauncher& by) {
    return make_gpu_network(of, precision, {}, {.exact_tiles = ExactTiles::yes, .launch = by});
  };
  EXPECT_NO_THROW(make(*network, Precision::bfloat16, launch));
  EXPECT_NO_THROW(make(*odd, Precision::float32, launch));
  EXPECT_THROW(make(*odd, Precision::bfloat16, launch), Error);
  EXPECT_THROW(make(*network, Precision::float32, {}), Error);
  const std::string message = testing::message_of([&] { make(*network, Precision::float32, fails); });
  for (const char* part : {"infer.exact_tiles", "NVRTC is not found", "set it to false"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(GpuNetwork, RejectsWeightsThatAreNotFinite) {
  const auto network = testing::random_network(testing::options_of(testing::kNetworkCases.front()));
  EXPECT_NO_THROW(make_gpu_network(*network, Precision::bfloat16, {}));
  network->parameters().front().data().fill_(NAN);
  EXPECT_THROW(make_gpu_network(*network, Precision::bfloat16, {}), Error);
}

INSTANTIATE_TEST_SUITE_P(Options, GpuNetworkOnCpu, ::testing::ValuesIn(testing::kNetworkCases),
                         [](const auto& test) { return test.param.what; });

TEST(GpuKernels, TheFastestAreChosen) {
  // Keys are (fused, maxima), values are seconds.
  const auto choose = [](std::map<std::pair<bool, bool>, double> seconds, std::vector<GpuKernels> ways) {
    double now = 0;
    return fastest_kernels(
        ways,
        [&](const GpuKernels& kernels) {
          now = seconds.at({kernels.fused, kernels.maxima});
          TORCH_CHECK(now > 0, "not on this card");
        },
        [&](const std::function<void()>& kernels) {
          kernels();
          return now;
        });
  };
  const std::vector<GpuKernels> all = {{false, false}, {true, false}, {false, true}, {true, true}},
                                unfused = {{false, false}, {false, true}};
  GpuKernels best =
      choose({{{false, false}, 4}, {{true, false}, 3}, {{false, true}, 2}, {{true, true}, 1}}, all);
  EXPECT_TRUE(best.fused && best.maxima);
  best = choose({{{false, false}, 4}, {{true, false}, 3}, {{false, true}, 2}, {{true, true}, 1}}, unfused);
  EXPECT_TRUE(!best.fused && best.maxima);
  best = choose({{{false, false}, 2}, {{true, false}, -1}, {{false, true}, 3}, {{true, true}, -1}}, all);
  EXPECT_TRUE(!best.fused && !best.maxima) << "a variant that fails is not chosen";
  best = choose({{{false, false}, 1}, {{true, false}, 1}, {{false, true}, 1}, {{true, true}, 1}}, all);
  EXPECT_TRUE(!best.fused && !best.maxima) << "the first variant if none is faster";
  EXPECT_THROW(choose({{{false, false}, -1}, {{true, false}, 1}, {{false, true}, 1}, {{true, true}, 1}}, all),
               c10::Error);
}

TEST(OutOfMemory, IsRecognisedInMessagesOfLibTorchAndItsLibraries) {
  const auto throw_message = [](const char* what) {
    return [what] {
      return translated_out_of_memory([] { return std::string("block 7"); },
                                      [&]() -> int { TORCH_CHECK(false, what); });
    };
  };
  for (const char* what : {"CUDA out of memory. Tried to allocate 2 GiB", "CUDNN_STATUS_ALLOC_FAILED",
                           "FIND was unable to find an engine to execute this computation"}) {
    try {
      throw_message(what)();
      FAIL() << what;
    } catch (const OutOfMemory& error) {
      EXPECT_NE(std::string(error.what()).find("block 7"), std::string::npos);
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(throw_message("illegal address")(), c10::Error);
}

TEST(TileMemory, OnAGpuIncludesThePlannedActivations) {
  const UNetOptions paper = unet2015_options();
  EXPECT_LE(tile_memory(paper, 4092, 4092, Precision::bfloat16, true), std::int64_t{12} << 30);
  EXPECT_GT(tile_memory(paper, 4092, 4092, Precision::bfloat16, true), std::int64_t{7} << 30);
  EXPECT_GT(tile_memory(paper, 572, 572, Precision::float32, true),
            tile_memory(paper, 572, 572, Precision::bfloat16, true));
}

}  // namespace
}  // namespace tessera
