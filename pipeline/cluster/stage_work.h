#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/cluster/job_script.h"
#include "pipeline/config/experiment.h"
#include "pipeline/run/run_end.h"
#include "pipeline/run/run_folder.h"

namespace tessera {

/// The progress of a stage, from its files.
struct StageWork {
  std::int64_t done = 0, all = 0;
  std::string text;
  std::optional<RunEnd> end;  ///< none: no record
  bool killed = false;        ///< a training or a segmentation that its record says is running
};

/// Reads the progress of a stage. `config`: the experiment, null when it is not known; `directory`: its paths
/// are relative to this folder. Damaged files are added to `problems`.
StageWork work_of(Stage stage, const RunFolder& folder, const ExperimentConfig* config,
                  const std::filesystem::path& directory, std::vector<std::string>& problems);

/// The experiment in a file; none when the file does not exist or is wrong, which is added to `problems`.
std::optional<ExperimentConfig> experiment_in(const std::filesystem::path& file,
                                              std::vector<std::string>& problems);

/// The last `bytes` of a file, or all of a shorter one; "" when it cannot be read.
std::string file_tail(const std::filesystem::path& file, std::int64_t bytes);

}  // namespace tessera
