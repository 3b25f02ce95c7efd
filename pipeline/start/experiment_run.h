#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/experiment.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/start/stage_workers.h"

namespace tessera {

/// The options of `tessera run`.
struct RunRequest {
  StageLauncher launcher;
  std::optional<int> workers;  ///< none: as many as the machine and the stage allow
  bool overwrite = false;      ///< start over, with a new training and a new prediction
  bool restart = false;        ///< predict again
};

/// The record of `tessera run` in the run folder.
std::filesystem::path run_record_file(const RunFolder& folder);

/// Runs the stages whose inputs the experiment names, one after the other: train, infer, segment, evaluate,
/// report.
/// Goes on where an earlier start stopped, by the state that `status` reads. A stage that is done is left
/// out; a prediction and a segmentation are always compared with their journals, and a segmentation that was
/// made otherwise is made again. Prints each command, and at the end one screen: the scores, and what to
/// open. Returns the exit code of the stage that failed or stopped, or 0. Errors: UsageError, also where the
/// run folder holds a training with other data or another network; Error.
int run_experiment(const ExperimentConfig& config, const RunRequest& request);

}  // namespace tessera
