#pragma once

#include <string>
#include <vector>

#include "pipeline/config/experiment.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// One of the volumes that an experiment predicts.
struct InferenceVolume {
  std::string name;  ///< a folder name: letters, digits, '.', '_' and '-'; unique among the volumes
  std::vector<std::string>
      overrides;  ///< `key=value`, as for --set; they turn the experiment into this volume's
};

/// The volumes that match `infer.raw`, sorted by file and path.
///
/// Without wildcards: one volume, named like the experiment, without overrides. With wildcards each match is
/// a volume. Its name consists of the wildcards' values, and its run folder is `<run_folder>/volumes/<name>`.
/// The wildcards of infer.output are filled in; without infer.output the result is in that folder. So are
/// those of infer.skip.mask, evaluate.prediction, evaluate.labels, segment.output and segment.mask, if any.
/// infer.checkpoint becomes a path. Matches in output files of other matches are ignored.
///
/// Not collective: one rank calls it, since it reads files. Errors: Error when nothing matches, or when a
/// file cannot be read; UsageError, naming the key, for a wrong number of wildcards, or when two volumes
/// share an output file.
std::vector<InferenceVolume> inference_volumes(const ExperimentConfig& config);

/// The volumes that the experiment segments. Those of its inference, unless segment.prediction names others:
/// then its matches, as above, with the wildcards of segment.output, segment.mask and evaluate.labels.
/// Errors: as above.
std::vector<InferenceVolume> segmentation_volumes(const ExperimentConfig& config);

/// Of several volumes, each has labels of its own to choose its threshold. Errors: UsageError.
void require_own_choices(const ExperimentConfig& config, std::size_t volumes);

/// Which volumes a verb works on.
enum class VolumeUse { inference, segmentation };
/// Collective. The volumes that the root finds, for every rank.
std::vector<InferenceVolume> volumes_for(VolumeUse use, const ExperimentConfig& config,
                                         const Communicator& world);

/// The experiment with this volume's overrides.
ExperimentConfig experiment_of(const ExperimentConfig& whole, const InferenceVolume& volume,
                               const ConfigNeeds& needs);

}  // namespace tessera
