#include "pipeline/commands/block_options.h"

#include <fmt/format.h>

#include "io/base/error.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

/// The ranges of infer.max_retries and infer.watchdog_minutes.
constexpr int kMostRetries = 100;
constexpr double kShortestWatchdog = 0.02, kLongestWatchdog = 100'000;

}  // namespace

void add_block_options(po::options_description& options) {
  auto add = options.add_options();
  add("max-retries", po::value<int>()->default_value(2), "how often a block that fails is tried again");
  add("watchdog-minutes", po::value<double>()->default_value(30),
      "a worker that is silent for so long ends the job; 0: no limit");
}

CoordinatorOptions block_options(const po::variables_map& values) {
  CoordinatorOptions options;
  options.max_retries = values["max-retries"].as<int>();
  if (options.max_retries < 0 || options.max_retries > kMostRetries)
    throw UsageError(fmt::format("--max-retries {}: 0 to {}", options.max_retries, kMostRetries));
  const double minutes = values["watchdog-minutes"].as<double>();
  if (minutes != 0 && !(minutes >= kShortestWatchdog && minutes <= kLongestWatchdog)) {
    throw UsageError(
        fmt::format("--watchdog-minutes {}: at least {}, or 0 for no watchdog", minutes, kShortestWatchdog));
  }
  options.watchdog_s = 60 * minutes;
  options.watchdog_setting = "--watchdog-minutes";
  return options;
}

}  // namespace tessera
