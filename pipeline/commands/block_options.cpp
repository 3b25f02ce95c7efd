#include "pipeline/commands/block_options.h"

#include <fmt/format.h>

#include "io/base/error.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

/// The range of infer.max_retries.
constexpr int kMostRetries = 100;
constexpr const char* kSilence = "watchdog-minutes";

}  // namespace

void add_block_options(po::options_description& options) {
  options.add_options()("max-retries", po::value<int>()->default_value(2),
                        "how often a block that fails is tried again");
  add_silence_option(options);
}

void add_silence_option(po::options_description& options) {
  options.add_options()(kSilence, po::value<double>(),
                        "a rank that is silent for so long ends the job; 0: no limit (30)");
}

std::optional<SilenceLimit> silence_option(const po::variables_map& values) {
  if (values.count(kSilence) == 0) return std::nullopt;
  const double minutes = values[kSilence].as<double>();
  if (minutes != 0 &&
      !(minutes >= SilenceLimit::kShortestMinutes && minutes <= SilenceLimit::kLongestMinutes)) {
    throw UsageError(fmt::format("--{} {}: at least {}, or 0 for no limit", kSilence, minutes,
                                 SilenceLimit::kShortestMinutes));
  }
  return SilenceLimit{60 * minutes, fmt::format("--{}", kSilence)};
}

CoordinatorOptions block_options(const po::variables_map& values) {
  CoordinatorOptions options;
  options.max_retries = values["max-retries"].as<int>();
  if (options.max_retries < 0 || options.max_retries > kMostRetries)
    throw UsageError(fmt::format("--max-retries {}: 0 to {}", options.max_retries, kMostRetries));
  const SilenceLimit limit =
      silence_option(values).value_or(SilenceLimit{60 * SilenceLimit::kDefaultMinutes, "--watchdog-minutes"});
  options.watchdog_s = limit.seconds;
  options.watchdog_setting = limit.setting;
  return options;
}

}  // namespace tessera
