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

/// Collective. The newest readable checkpoint of a run, read by the root and broadcast; damaged ones are
/// skipped with a warning. Nothing when there is none. Errors: Error when all there are are damaged.
std::optional<LoadedCheckpoint> load_newest_checkpoint(const RunFolder& folder, const Communicator& world);

/// `infer.checkpoint` as a path that means the same from any run folder: of `best` the file, of `latest` the
/// folder of the run's checkpoints. Looks at nothing.
std::filesystem::path checkpoint_path(const std::string& which, const RunFolder& folder);

/// Collective. What `infer.checkpoint` names: `best`, `latest`, a file, or a folder of a run's checkpoints
/// (the newest readable one). Errors: UsageError when there is no such checkpoint, Error when it is damaged.
LoadedCheckpoint load_named_checkpoint(const std::string& which, const RunFolder& folder,
                                       const Communicator& world);

}  // namespace tessera
