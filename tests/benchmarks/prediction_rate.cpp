// Serves prediction_rate.py: predicts one random tile per line "PRECISION SIDE" of standard input, and
// replies with the seconds of the forward pass. Usage: bench_prediction FILTERS THREADS NETWORK.pt (which it
// writes).
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <iostream>
#include <map>

#include "io/base/clock.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/tile_network.h"
#include "workers/network/torchscript_export.h"
#include "workers/network/unet.h"

int main(int argc, char** argv) {
  using namespace tessera;
  if (argc != 4) return 2;
  UNetOptions options = unet2015_options();
  options.base_filters = std::stoll(argv[1]);
  at::set_num_threads(std::stoi(argv[2]));
  const auto network = make_network(options, 1);
  export_torchscript(*network, {}, argv[3]);
  const std::map<std::string, Precision> precisions{{"float32", Precision::float32},
                                                    {"bfloat16", Precision::bfloat16}};
  std::map<std::string, std::unique_ptr<TileNetwork>> engines;
  const c10::InferenceMode inference;
  std::string precision;
  for (std::int64_t side = 0; std::cin >> precision >> side;) {
    auto& engine = engines[precision];
    if (!engine) engine = make_tile_network(*network, precisions.at(precision), {});
    const at::Tensor x = at::ones({1, 1, side, side});
    const double begin = seconds_now();
    const at::Tensor logits = engine->logits(x);
    const double took = seconds_now() - begin;
    const at::Tensor probability = at::softmax(logits, 1);
    std::cout << fmt::format("{} {} {}\n", took, logits.size(2),
                             probability.select(1, 1).mean().item<double>())
              << std::flush;
  }
}
