#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/start/start_settings.h"

namespace tessera {

/// The options of `tessera init`.
struct InitRequest {
  std::string input;
  std::optional<std::string> labels, checkpoint;
  std::filesystem::path output;       ///< empty: INPUT.yaml in the working directory
  std::vector<double> resolution_nm;  ///< of images
  StartWishes wishes;
  bool overwrite = false;
};

/// Looks at the volumes, measures this machine, and writes an experiment. Images are imported into its run
/// folder. Prints what was found and what to do next. Returns the file. Not collective. Errors: UsageError
/// for unclear inputs and an output that exists; Error.
std::filesystem::path init_experiment(const InitRequest& request);

}  // namespace tessera
