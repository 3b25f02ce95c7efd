#pragma once

#include <cstdint>
#include <vector>

#include "io/volume/volume.h"
#include "pipeline/config/experiment.h"
#include "pipeline/train/training_volumes.h"
#include "workers/device/device.h"

namespace tessera {

/// Iterations of a training, measured by doing some.
struct TrainingSpeed {
  int iterations = 0;          ///< that were measured
  std::int64_t tile_side = 0;  ///< that was measured; a smaller one than planned where that takes too long
  double sample_s = 0;         ///< of one sample of the planned tile, with all cores, or one GPU
};

/// Trains a new network of the experiment, on at most two of its sections, with a batch of one sample, for
/// about `budget_s` seconds: at least one iteration, at most ten. Nothing is written. `volumes`: as
/// find_volumes() returns them; `tile_side`: that of the plan. Not collective. Errors: as a training's.
TrainingSpeed measure_training(const ExperimentConfig& config, const std::vector<AnnotatedVolume>& volumes,
                               std::int64_t tile_side, const Device& device, double budget_s);

/// Tiles of a prediction, measured by predicting some.
struct PredictionSpeed {
  int tiles = 0;               ///< that were measured
  std::int64_t tile_side = 0;  ///< that was measured
  double pixel_s = 0;          ///< of one input pixel of a planned tile, with all cores, or one GPU
};

/// Predicts tiles of pseudo-random voxels of `raw`'s type by a new network of the experiment, for about
/// `budget_s` seconds: at least one tile, at most ten. `tile`: the input of the plan's tiles; `averaging` in
/// place of the experiment's. Not collective.
PredictionSpeed measure_prediction(const ExperimentConfig& config, const VolumeInfo& raw, const Index3& tile,
                                   Averaging averaging, const Device& device, double budget_s);

}  // namespace tessera
