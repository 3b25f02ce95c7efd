#include "workers/network/window_network.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "golden_network.h"
#include "tests/unit/error_message.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"

namespace tessera {
namespace {

TEST(WindowNetwork, HasTheLayersOfThePaper) {
  // Table 1 of the paper: maps and sides from the input to the output, poolings included.
  const std::vector<std::int64_t> maps{1, 48, 48, 48, 48, 48, 48, 48, 48, 200, 2},
      sides{95, 92, 46, 42, 21, 18, 9, 6, 3, 1, 1};
  const NetworkDescription window = describe_window({});
  const std::vector<Index3> shapes =
      value_shapes(window, {1, WindowNetworkOptions::kWindow, WindowNetworkOptions::kWindow});
  std::size_t at = 0;
  for (int value = 0; value <= static_cast<int>(window.layers.size()); ++value) {
    if (value > 0 && window.layers[static_cast<std::size_t>(value - 1)].kind == LayerDescription::Kind::relu)
      continue;
    ASSERT_LT(at, maps.size());
    EXPECT_EQ(window.channels_of(value), maps[at]) << value;
    EXPECT_EQ(shapes[static_cast<std::size_t>(value)], (Index3{1, sides[at], sides[at]})) << value;
    ++at;
  }
  EXPECT_EQ(at, maps.size());
  const std::int64_t convolutions = (16 + 25 * 48 + 2 * 16 * 48) * 48 + 4 * 48;
  EXPECT_EQ(parameter_count(window), convolutions + (9 * 48 + 1) * 200 + 2 * (200 + 1));
  EXPECT_EQ(parameter_count(window), 219'290);
  EXPECT_EQ(parameter_count(describe_window_network({})), 219'290);
}

TEST(WindowNetwork, SeesTheWindowAroundAPixel) {
  const NetworkGeometry geometry = geometry_of(describe_window_network({}));
  EXPECT_EQ(geometry.padding, Padding::valid);
  EXPECT_EQ(geometry.margin, 47);
  EXPECT_EQ(geometry.alignment, 1);
  EXPECT_EQ(geometry.smallest_input, WindowNetworkOptions::kWindow);
}

TEST(WindowNetwork, EqualsTheWindowsAtAThousandPixels) {
  const at::NoGradGuard no_grad;
  at::manual_seed(3);
  const WindowNetworkOptions options;
  const auto dense = make_network(describe_window_network(options), 11);
  const auto window = std::make_shared<Network>(describe_window(options));
  const auto weights = dense->named_parameters();
  for (auto& one : window->named_parameters())
    one.value().copy_(weights[one.key()]);
  constexpr std::int64_t kSide = 190, kOut = kSide - 94, kPixels = 1000, kAtOnce = 50;
  const at::Tensor image = at::randn({1, 1, kSide, kSide});
  const at::Tensor at_all = dense->forward(image);
  ASSERT_EQ(at_all.sizes().vec(), (std::vector<std::int64_t>{1, 2, kOut, kOut}));
  EXPECT_GT(at_all.std().item<float>(), 1e-2) << "equal outputs would not test anything";
  const at::Tensor chosen = at::randperm(kOut * kOut).narrow(0, 0, kPixels);
  const auto* pixels = chosen.data_ptr<std::int64_t>();
  float largest = 0;
  for (std::int64_t first = 0; first < kPixels; first += kAtOnce) {
    std::vector<at::Tensor> windows, expected;
    for (std::int64_t i = first; i < first + kAtOnce; ++i) {
      const std::int64_t y = pixels[i] / kOut, x = pixels[i] % kOut;
      windows.push_back(image.narrow(2, y, 95).narrow(3, x, 95));
      expected.push_back(at_all.narrow(2, y, 1).narrow(3, x, 1));
    }
    const at::Tensor logits = window->forward(at::cat(windows));
    largest = std::max(largest, (logits - at::cat(expected)).abs().max().item<float>());
  }
  EXPECT_LE(largest, 1e-5F * std::max(1.0F, at_all.abs().max().item<float>()));
}

/// An independent implementation, window by window: tests/golden/make_window_network.py.
TEST(WindowNetwork, EqualsTheIndependentImplementation) {
  const at::NoGradGuard no_grad;
  WindowNetworkOptions options;
  options.maps = 3;
  options.units = 5;
  const auto network = std::make_shared<Network>(describe_window_network(options));
  const Hdf5Handle file = open_hdf5_file(std::string(TESSERA_GOLDEN) + "/window_network.h5");
  testing::load_golden_weights(*network, file.get());
  const at::Tensor expected = testing::golden_tensor(file.get(), "logits");
  const at::Tensor logits = network->forward(testing::golden_tensor(file.get(), "input"));
  ASSERT_EQ(logits.sizes(), expected.sizes());
  EXPECT_GT(expected.std().item<float>(), 1e-3);
  EXPECT_LE((logits - expected).abs().max().item<float>(),
            1e-5 * std::max(1.0F, expected.abs().max().item<float>()));
}

TEST(WindowNetwork, IsReadBackFromACheckpoint) {
  WindowNetworkOptions options;
  options.maps = 4;
  options.units = 6;
  options.in_channels = 3;
  const auto network = make_network(describe_window_network(options), 2);
  Checkpoint checkpoint;
  store_network(*network, checkpoint);
  const auto again = load_network(checkpoint, "a.h5");
  EXPECT_EQ(difference_between(network->description(), again->description()), "");
  const at::NoGradGuard no_grad;
  const at::Tensor image = at::randn({1, 3, 100, 97});
  EXPECT_TRUE(at::equal(network->forward(image), again->forward(image)));
  checkpoint.counters["network_window_maps"] = 1 << 20;
  EXPECT_NE(testing::message_of([&] { load_description(checkpoint, "a.h5"); }).find("out of range"),
            std::string::npos);
  checkpoint.counters.erase("network_window_units");
  checkpoint.counters["network_window_maps"] = 4;
  EXPECT_NE(testing::message_of([&] { load_description(checkpoint, "a.h5"); }).find("option window_units"),
            std::string::npos);
}

}  // namespace
}  // namespace tessera
