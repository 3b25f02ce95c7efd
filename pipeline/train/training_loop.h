#pragma once

#include <functional>
#include <string>

#include "pipeline/config/experiment.h"
#include "pipeline/run/raw_facts.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/wall_time.h"
#include "pipeline/train/best_validation.h"
#include "pipeline/train/training_recorder.h"

namespace tessera {

/// What a training starts from and how it reports.
struct TrainingLoop {
  const ExperimentConfig& config;
  const RunFolder& folder;
  const Device& device;
  const Communicator& workers;
  std::int64_t validation_budget = 0;             ///< bytes for activations
  std::vector<ValidationVolume> validation = {};  ///< empty: none
  bool several_volumes = false;                   ///< pictures name the volume
  std::int64_t context = 0;                       ///< sections before and after the labelled one in the input
  double elapsed_before_s = 0;                    ///< of the parts before a resume
  std::string initial_weights = {};               ///< JSON, for the checkpoints; "": none
  RawFacts raw_facts = {};                        ///< of the training volumes, for the checkpoints
  bool validation_due = false;                    ///< a signal prevented a due validation: validate first
  BestValidation best = BestValidation();         ///< of the parts before a resume
  WallTime wall_time = WallTime(std::nullopt);    ///< only the lead worker's is used
  /// Whether this worker has been asked to stop. Called often, and cheap; once true, always true. Only by the
  /// thread that trains.
  std::function<bool()> stop_asked = {};
  /// Called on the lead worker when a checkpoint of this training is complete. It may change `folder`.
  std::function<void()> saved = {};
  /// Called on the lead worker. `saving` comes before a checkpoint is written; for it the function returns
  /// when all rows reported so far are in metrics.csv. So a training killed at any instant has all rows up to
  /// its last checkpoint.
  std::function<void(const TrainingEvent&)> tell = {};
};

/// Collective over the workers. Trains until iterations, minutes or patience are over, a signal comes, or the
/// job's time allows no further iteration with its checkpoint. A signal ends the iteration or the validation
/// in progress where it is; without one every start makes at least one iteration. Validates, and the lead
/// worker writes checkpoints, the last one at the end, and previews. A loss that is not finite ends the
/// training on every worker, after an event to the coordinator. Errors: may be one worker's alone.
struct TrainingEnd {
  bool stopped_early = false;
  std::string failure;  ///< the message of NonFiniteLoss; "": none
};
TrainingEnd run_training_loop(Trainer& trainer, const TrainingSet& data, const TrainingLoop& loop);

}  // namespace tessera
