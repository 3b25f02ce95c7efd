#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "workers/gradients/flat_parameters.h"
#include "workers/gradients/gradient_engine.h"
#include "workers/gradients/gradient_reducer.h"
#include "workers/gradients/nccl_reducer.h"
#include "workers/gradients/sample_tree.h"
#include "workers/samples/device_sampler.h"
#include "workers/train/device_sums.h"
#include "workers/train/trainer.h"
#include "workers/train/weight_average.h"

namespace tessera {

/// The network as the iterations need it, and how its gradients are summed.
struct Trainer::Model {
  /// Of this worker alone: may fail on it alone. Makes samples on the device where `options.sampling` says
  /// so.
  Model(std::shared_ptr<Network> network, const SampleSource& source, const Device& device,
        const TrainerOptions& options);
  /// Collective over the workers.
  void connect(const Communicator& workers, const TrainerOptions& options);

  FlatParameters parameters;
  std::int64_t at_once;  ///< samples that go through the network together
  std::unique_ptr<GradientEngine> engine;
  Optimizer optimizer;
  std::optional<DeviceSums> sums;
  std::unique_ptr<DeviceSampler> sampler;  ///< null: the host makes the samples
  std::optional<WeightAverage> average;
  std::optional<GradientReducer> reducer;
  std::optional<SampleTree> tree;
  std::unique_ptr<NcclReducer> nccl;
  bool cuda_aware = false;       ///< MPI sums in the device's memory
  std::string exchange = "MPI";  ///< how gradients travel, in words
};

}  // namespace tessera
