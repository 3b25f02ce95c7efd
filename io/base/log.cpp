#include "io/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>

#include "io/base/console.h"
#include "io/base/error.h"

namespace tessera {

void start_log(const std::string& level, int rank, int ranks) {
  constexpr std::array levels{"trace", "debug", "info", "warn", "error", "off"};
  bool known = false;
  for (const char* name : levels)
    known = known || level == name;
  if (!known) {
    throw UsageError(
        fmt::format("unknown log level '{}': use trace, debug, info, warn, error or off", level));
  }
  const bool is_first = rank == 0 || ranks <= 1;
  auto console =
      std::make_shared<Console>(ConsoleOptions{.prefix = is_first ? "" : fmt::format("[rank {}] ", rank),
                                               .names_info = !is_first,
                                               .terminal = Terminal::of_standard_error()});
  auto logger = std::make_shared<spdlog::logger>("tessera", console);
  logger->set_level(spdlog::level::from_str(level));
  logger->flush_on(spdlog::level::info);
  // A log file on a full disk is reported once, and the work goes on.
  logger->set_error_handler([reported = std::make_shared<std::atomic_flag>()](const std::string& problem) {
    if (!reported->test_and_set()) fmt::print(stderr, "warning: cannot write the log: {}\n", problem);
  });
  spdlog::set_default_logger(logger);
}

void add_log_file(const std::filesystem::path& file) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string(), /*truncate=*/false);
    sink->set_pattern("%Y-%m-%dT%H:%M:%S%z %l: %v");
    spdlog::default_logger()->sinks().push_back(sink);
  } catch (const spdlog::spdlog_ex& error) {
    throw Error(fmt::format("cannot write the log file {}: {}", file.string(), error.what()));
  }
}

void close_log_files() {
  spdlog::default_logger()->sinks().resize(1);
}

}  // namespace tessera
