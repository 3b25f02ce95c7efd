// Serves training_rate.py: one training iteration per line "PRECISION" of standard input. The reply is its
// seconds and its loss. Usage: bench_training FILTERS TILE THREADS ELASTIC VOLUME.h5, which has
// /raw and /labels. The line "end" ends it.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <iostream>
#include <map>

#include "io/base/clock.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/trainer.h"

int main(int argc, char** argv) {
  using namespace tessera;
  if (argc != 6) return 2;
  UNetOptions network = unet2015_options();
  network.base_filters = std::stoll(argv[1]);
  network.dropout = 0.2;
  Device device;
  device.threads = std::stoi(argv[3]);
  at::set_num_threads(device.threads);
  const TrainingData data({{argv[5], "/raw"}, {argv[5], "/labels"}, {0, 4}});
  TrainerOptions options;
  options.samples.tile_side = std::stoll(argv[2]);
  options.samples.augmentation.elastic = std::stod(argv[4]);
  options.optimizer.kind = OptimizerOptions::Kind::adam;
  const std::map<std::string, Precision> precisions{{"float32", Precision::float32},
                                                    {"bfloat16", Precision::bfloat16}};
  const Communicator alone = Communicator::alone();
  std::map<std::string, std::unique_ptr<Trainer>> trainers;
  for (std::string precision; std::cin >> precision && precision != "end";) {
    auto& trainer = trainers[precision];
    options.precision = precisions.at(precision);
    if (!trainer) trainer = std::make_unique<Trainer>(make_network(network, 1), data, options, device, alone);
    const double begin = seconds_now();
    const TrainingStep step = trainer->step(StopWish::none);
    std::cout << fmt::format("{} {} {}\n", seconds_now() - begin, step.loss, step.waiting_share)
              << std::flush;
  }
}
