#pragma once

#include <filesystem>
#include <string>

#include "io/base/temporary_name.h"
#include "io/hdf5/checkpoint_file.h"

namespace tessera {

/// The folder of all files that a run writes:
///   config.yaml (of the training)  inference.yaml  segmentation.yaml  version.txt  log.txt  metrics.csv
///   checkpoints/  previews/  training.json  inference.json  segmentation.json  evaluation.json
///   evaluation_objects.json  evaluation/  report.html
///   volumes/NAME/ (an experiment with many volumes: the files of each one's inference and evaluation)
class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path metrics() const { return folder_ / "metrics.csv"; }
  std::filesystem::path log() const { return folder_ / "log.txt"; }
  std::filesystem::path object_scores() const { return folder_ / "evaluation_objects.json"; }
  std::filesystem::path previews() const { return folder_ / "previews"; }
  CheckpointFolder checkpoints() const { return CheckpointFolder(folder_ / "checkpoints"); }

  /// Creates the folder and writes the version and the resolved config. Each verb has its own `config_file`,
  /// so that none overwrites the config of another. Errors: Error.
  void prepare(const std::string& config_file, const std::string& resolved_yaml) const;
  /// Removes the temporary files of killed processes. For verbs that find nothing to do: all others write
  /// their files again, which removes them.
  void remove_left_over() const { remove_stale_temporaries_in(folder_); }

 private:
  std::filesystem::path folder_;
};

/// "0.1.0".
std::string tessera_version();

/// The current time in UTC, such as 2026-11-22T19:07:49Z.
std::string now_utc();

}  // namespace tessera
