#pragma once

#include <spdlog/spdlog.h>

#include <filesystem>
#include <optional>
#include <string>

namespace tessera {

/// Sets up this process's log: messages of `level` and above go to standard error, each with the rank in
/// front when there is more than one; with `file` also, appended, with time stamps, to that file.
/// Use spdlog::info() and its kin afterwards. Errors: UsageError for an unknown level.
void start_log(const std::string& level, int rank, int ranks);

/// Adds a file to the log of this process; every message from now on is appended to it.
void add_log_file(const std::filesystem::path& file);

/// Closes the files that add_log_file added: messages go to standard error alone again.
void close_log_files();

}  // namespace tessera
