#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "pipeline/config/experiment.h"
#include "pipeline/train/training_volumes.h"
#include "workers/device/precision.h"

namespace tessera {

/// The derived settings of a training: a function of the experiment and its volumes.
struct TrainingPlan {
  std::int64_t tile_side = 572;        ///< of the network's input
  std::int64_t context = 0;            ///< sections before and after the labelled one in the input
  std::int64_t data_bytes = 0;         ///< of the training volumes, held by every worker
  std::int64_t training_bytes = 0;     ///< of one worker, by the memory model
  std::int64_t validation_bytes = 0;   ///< likewise, during a validation
  std::int64_t validation_budget = 0;  ///< for the activations of one tile of a validation

  std::int64_t memory_per_worker() const { return data_bytes + std::max(training_bytes, validation_bytes); }
};

/// No limit: for a plan that is only displayed.
constexpr std::int64_t kAnyMemory = std::numeric_limits<std::int64_t>::max();

/// The resources of a worker.
struct TrainingResources {
  std::int64_t memory = kAnyMemory;  ///< bytes that are available to it
  Precision precision = Precision::float32;
  bool cuda = false;
};

/// The precision that `train.precision` asks for; automatic: bfloat16 where this device is faster in it.
Precision training_precision(const ExperimentConfig& config, bool cuda);

/// Errors: UsageError when config and volumes do not fit together, or when a worker needs more memory than it
/// has, naming the settings to lower.
TrainingPlan plan_training(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                           const TrainingResources& resources);

/// "3 workers share a global batch of 2: ..."; "" where every worker has something to do.
std::string idle_workers_doubt(const ExperimentConfig& config, std::int64_t workers);

/// "tile 572 (output 388), memory per worker about 1.2 GiB, 20 MiB of it for the annotated voxels".
std::string plan_text(const TrainingPlan& plan, const NetworkDescription& network);

}  // namespace tessera
