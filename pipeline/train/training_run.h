#pragma once

#include <functional>
#include <string>

#include "pipeline/config/experiment.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"
#include "pipeline/train/training_place.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// How a training that did not fail has ended.
struct TrainingOutcome {
  bool stopped = false;  ///< before its end: it can be resumed; the same on every rank
  std::string message;   ///< of a stopped one, on the root: TrainingRecorder::stop_text()
};

/// Collective over `world`: the training of an experiment, from the check of its inputs to the last
/// checkpoint. The run folder is locked as long as it takes. With several ranks, rank 0 coordinates and the
/// others work; one rank does both. Writes the run folder. Errors, the same on every rank: UsageError and
/// AgreedError when it cannot start, AgreedError when the loss is not finite. Other errors may be one rank's
/// alone. `validated`: called on the root after each validation, when the run folder holds this training's
/// files; null: not.
TrainingOutcome run_training(ExperimentConfig config, ExistingRun existing, const StopSignal& signal,
                             const WallTime& wall_time, const Communicator& world,
                             const std::function<void()>& validated = {});

}  // namespace tessera
