#pragma once

#include <string>
#include <vector>

#include "pipeline/config/experiment.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// One of the volumes that an experiment predicts.
struct InferenceVolume {
  std::string name;  ///< of a folder: letters, digits, '.', '_' and '-'; each volume its own
  std::vector<std::string>
      overrides;  ///< `key=value`, as --set takes them, that make the experiment this volume's
};

/// The volumes that `infer.raw` stands for, sorted by file and path. Without wildcards: one, named like the
/// experiment, that overrides nothing. With wildcards each match is a volume, named by what the wildcards
/// stand for, with a run folder of its own, `<run_folder>/volumes/<name>`; those of infer.output, and where
/// they have any those of infer.skip.mask, evaluate.prediction and evaluate.labels, are filled in, and
/// infer.checkpoint is made a path. Matches in files that are the results of other matches are left out.
/// Looks at the files: for one rank alone. Errors: Error when nothing matches or a file must be looked into
/// and cannot be read; UsageError, naming the key, for a wrong number of wildcards and for two volumes with
/// one output file.
std::vector<InferenceVolume> inference_volumes(const ExperimentConfig& config);

/// Collective. The same, looked up by the root.
std::vector<InferenceVolume> inference_volumes(const ExperimentConfig& config, const Communicator& world);

/// The experiment as this volume's own.
ExperimentConfig experiment_of(const ExperimentConfig& whole, const InferenceVolume& volume,
                               const ConfigNeeds& needs);

}  // namespace tessera
