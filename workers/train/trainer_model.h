#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "workers/gradients/flat_parameters.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/gradients/gradient_exchange.h"
#include "workers/samples/device_sampler.h"
#include "workers/train/frozen_parameters.h"
#include "workers/train/optimizer.h"
#include "workers/train/step_sums.h"
#include "workers/train/trainer.h"
#include "workers/train/weight_average.h"

namespace tessera {

/// The network in training, with what an iteration needs beside it.
struct Trainer::Model {
  /// Not collective: may fail on one worker alone. Errors: UsageError; OutOfMemory.
  Model(std::shared_ptr<Network> network, const SampleSource& source, const Device& device,
        const TrainerOptions& options);
  /// Collective over the workers. Errors: as make_gradient_exchange.
  void connect(const Communicator& workers, const TrainerOptions& options);

  FlatParameters parameters;
  std::int64_t at_once;  ///< samples that pass through the network together
  std::unique_ptr<GradientEngine> engine;
  Optimizer optimizer;
  FrozenParameters frozen;
  bool reads_each_step;  ///< the host reads the sums of a step before it ends; false: in report()
  StepSums sums;
  std::unique_ptr<DeviceSampler> sampler;  ///< null: the host makes the samples
  std::optional<WeightAverage> average;
  std::unique_ptr<GradientExchange> exchange;
};

}  // namespace tessera
