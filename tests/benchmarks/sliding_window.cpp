// The table of the U-Net paper's introduction: the sliding-window network for the window of each pixel, the
// same network at all pixels at once, and the U-Net. In turns, so that the machine's load is the same for
// all. Usage: bench_window THREADS ROUNDS
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "io/base/clock.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"
#include "workers/network/unet.h"
#include "workers/network/window_network.h"

namespace {

using namespace tessera;

/// A way to predict, and what one call of it costs.
struct Way {
  std::string name;
  std::int64_t pixels;  ///< that one call predicts
  double flop;          ///< of one call
  std::function<void()> call;
  std::vector<double> seconds = {};

  double rate() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return static_cast<double>(pixels) / sorted[sorted.size() / 2];
  }
};

Way at_once(const std::string& name, const NetworkDescription& description, std::int64_t side) {
  const std::shared_ptr<TileNetwork> engine =
      make_tile_network(*make_network(description, 1), Precision::float32, {});
  const std::int64_t out = geometry_of(description).output_side(side);
  const at::Tensor image = at::rand({1, description.in_channels, side, side});
  return {fmt::format("{}, {}", name, engine->text()), out * out, forward_flop(description, {1, side, side}),
          [engine, image] { engine->logits(image); }};
}

Way window_by_window(std::int64_t windows) {
  const auto network = make_network(describe_window({}), 1);
  network->eval();
  constexpr std::int64_t kSide = WindowNetworkOptions::kWindow;
  const at::Tensor images = at::rand({windows, 1, kSide, kSide}).contiguous(at::MemoryFormat::ChannelsLast);
  return {fmt::format("ciresan2012, {} windows at a time, LibTorch", windows), windows,
          static_cast<double>(windows) * forward_flop(describe_window({}), {1, kSide, kSide}),
          [network, images] { network->forward(images); }};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  at::set_num_threads(std::stoi(argv[1]));
  const c10::InferenceMode inference;
  UNetOptions small = unet2015_options();
  small.base_filters = 16;
  std::vector<Way> ways;
  ways.push_back(window_by_window(64));
  ways.push_back(at_once("ciresan2012, dense", describe_window_network({}), 94 + 256));
  ways.push_back(at_once("unet2015, 16 filters", small, 572));
  ways.push_back(at_once("unet2015, 64 filters", unet2015_options(), 572));
  for (int round = -1; round < std::stoi(argv[2]); ++round) {
    for (Way& way : ways) {
      const double begin = seconds_now();
      way.call();
      if (round >= 0) way.seconds.push_back(seconds_now() - begin);  // the first round warms up
    }
  }
  for (const Way& way : ways) {
    std::cout << fmt::format(
        "{:<55} {:>10.0f} pixels/s  {:>10.3f} MFLOP/pixel  {:>6.1f} GFLOP/s  {:>7.1f} times\n", way.name,
        way.rate(), way.flop / static_cast<double>(way.pixels) / 1e6,
        way.rate() * way.flop / static_cast<double>(way.pixels) / 1e9, way.rate() / ways.front().rate());
  }
}
