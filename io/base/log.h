#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <optional>
#include <string>

namespace tessera {

/// Sets up the log of this process: messages of `level` and above go to standard error, through a Console
/// (io/base/console.h). Those of ranks above 0 begin with the rank. Afterwards use spdlog::info() and the
/// like. Errors: UsageError for an unknown level.
void start_log(const std::string& level, int rank, int ranks);

/// Appends every message from now on, with a time stamp, to `file` too. A message that cannot be written
/// later is reported once on standard error. Errors: Error.
void add_log_file(const std::filesystem::path& file);

/// Closes the files that add_log_file() added: messages go to standard error only.
void close_log_files();

}  // namespace tessera
