#pragma once

#include <functional>

#include "pipeline/config/experiment.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/wall_time.h"
#include "pipeline/train/training_recorder.h"

namespace tessera {

/// What a training starts from and how it tells of itself.
struct TrainingLoop {
  const ExperimentConfig& config;
  const RunFolder& folder;
  const Device& device;
  const Communicator& workers;
  std::int64_t validation_budget = 0;             ///< bytes for activations
  std::vector<ValidationVolume> validation = {};  ///< empty: none
  bool several_volumes = false;                   ///< pictures say which
  std::int64_t context = 0;                       ///< sections seen before and after the labelled one
  double elapsed_before_s = 0;                    ///< of the parts before a resume
  bool validation_due = false;             ///< a signal came where a validation belonged: first thing now
  BestValidation best = BestValidation();  ///< of the parts before a resume
  WallTime wall_time = WallTime(std::nullopt);  ///< the lead worker's counts
  /// Whether this worker has been asked to stop.
  std::function<bool()> stop_asked = {};
  /// Called on the lead worker. Of `saving`, which comes before a checkpoint is written, it returns when all
  /// rows told are in metrics.csv: a training killed at any instant then lacks none that its checkpoint has
  /// left behind.
  std::function<void(const TrainingEvent&)> tell = {};
};

/// Collective over the workers: trains to the end of iterations, minutes or patience, or until a signal, or
/// until the job's time allows no further iteration with its checkpoint; validates, writes checkpoints (the
/// lead worker does) and previews on the way, and the last checkpoint at the end. Every start does one
/// iteration at least. A loss that is not finite ends it on every worker, after the coordinator was told.
/// Other errors may be one worker's alone.
struct TrainingEnd {
  bool stopped_early = false;
  bool for_time = false;  ///< and not for a signal; known to the lead worker
  std::string failure;    ///< what was not finite, where; "" for none
};
TrainingEnd run_training_loop(Trainer& trainer, const TrainingSet& data, const TrainingLoop& loop);

}  // namespace tessera
