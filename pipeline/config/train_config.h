#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pipeline/config/yaml_reader.h"
#include "workers/device/precision.h"
#include "workers/network/network_description.h"
#include "workers/samples/training_data.h"
#include "workers/train/trainer.h"
#include "workers/train/validation_metric.h"

namespace tessera {

/// `train:`
struct TrainConfig {
  TrainerOptions trainer;
  WeightMapOptions weight_map;
  std::optional<LabelId> ignore_label;
  std::string initial_weights;  ///< a checkpoint or a run folder; "" for a new network
  bool tile_auto = true;
  std::optional<Precision> precision;  ///< none: automatic
  std::int64_t iterations = 4000;
  double minutes = 0;             ///< 0: no limit
  int threads = 0;                ///< 0: automatic
  std::int64_t report_every = 0;  ///< iterations between two readings of results; 0: automatic
  std::int64_t validate_every = 200, checkpoint_every = 200, keep_checkpoints = 3;
  double checkpoint_minutes = 5;  ///< the longest time between two checkpoints; 0: no limit
  double watchdog_minutes = 30;   ///< without a heartbeat of a rank; 0: no limit
  ValidationMetric validation_metric = ValidationMetric::pixel_error;
  std::int64_t patience = 0;  ///< validations without a new best that end the training; 0: no limit
};

/// Reads `train:` for a network. Problems are noted in the document.
TrainConfig read_train(ConfigSection train, const NetworkDescription& network);

}  // namespace tessera
