#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "io/hdf5/checkpoint_file.h"
#include "pipeline/run/run_folder.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// A checkpoint and the file it came from.
struct LoadedCheckpoint {
  Checkpoint checkpoint;
  std::string name;
};

/// Collective. The newest readable checkpoint of a run, read by the root and broadcast. Damaged ones are
/// skipped with a warning. None when the run has no checkpoint. Errors: Error when all are damaged.
std::optional<LoadedCheckpoint> load_newest_checkpoint(const RunFolder& folder, const Communicator& world);

/// `infer.checkpoint` as a path that does not depend on the run folder: the file of `best`; for `latest` the
/// folder of the run's checkpoints. Does not access the file system.
std::filesystem::path checkpoint_path(const std::string& which, const RunFolder& folder);

/// Collective. What `infer.checkpoint` names: `best`, `latest`, a file, or a folder of a run's checkpoints
/// (the newest readable one). Errors: UsageError when there is no such checkpoint, Error when it is damaged.
LoadedCheckpoint load_named_checkpoint(const std::string& which, const RunFolder& folder,
                                       const Communicator& world);

/// Collective. What `train.initial_weights` and `infer.ensemble` name: a checkpoint, a folder of a run's
/// checkpoints, or a run folder (the best checkpoint, else the newest readable one). `setting`: the key, for
/// messages. Errors: as load_named_checkpoint.
LoadedCheckpoint load_checkpoint_of(const std::string& which, const std::string& setting,
                                    const Communicator& world);

}  // namespace tessera
