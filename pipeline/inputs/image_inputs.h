#pragma once

#include "pipeline/config/experiment.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What a verb reads of an experiment.
enum class InputUse { training, inference, evaluation, all };

/// Collective. Imports the images that stand for the volumes of this use, each once: a record beside the
/// dataset has the names, sizes, times and the SHA-256 of the files. Images that have changed since are
/// imported again, unless the run folder holds a training or a result, which are of the old ones. The root
/// does the work, under the lock of the dataset's file. Errors, on every rank: AgreedError for images that
/// cannot be read; UsageError, naming the key, for changed images, images that need a decision (such as
/// which channel), and a second process that imports the same.
void import_images(const ExperimentConfig& config, InputUse use, const Communicator& world);

/// The same, on one rank. `replace`: changed images are imported again in any case.
void import_images(const ExperimentConfig& config, InputUse use, bool replace = false);

}  // namespace tessera
