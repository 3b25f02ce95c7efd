#include "pipeline/train/changed_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "io/base/error.h"
#include "pipeline/config/config_keys.h"

namespace tessera {
namespace {

constexpr std::array<std::string_view, 3> kSections{"data.", "model.", "train."};
constexpr auto kVolumes = "data.volumes[";
constexpr std::array<std::string_view, 19> kLeftOut{
    "data.allow_one_class",   "train.iterations",         "train.minutes",
    "train.validate_every",   "train.validation_metric",  "train.patience",
    "train.checkpoint_every", "train.checkpoint_minutes", "train.keep_checkpoints",
    "train.watchdog_minutes", "train.report_every",       "train.threads",
    "train.prefetch_threads", "train.precision",          "train.average_decay",
    "train.samples_on",       "train.samples_at_once",    "train.nccl",
    "train.cuda_aware_mpi"};

bool matters(const std::string& key) {
  return std::ranges::any_of(kSections, [&](std::string_view section) { return key.starts_with(section); }) &&
         std::ranges::find(kLeftOut, key) == kLeftOut.end();
}

}  // namespace

std::string changed_settings(const std::string& then_yaml, const std::string& now_yaml) {
  std::vector<ConfigKey> then;
  try {
    then = config_keys(then_yaml, "the checkpoint's config");
  } catch (const Error&) {
    return {};  // of another version: the network and the optimizer are compared by their arrays
  }
  const std::vector<ConfigKey> now = config_keys(now_yaml, "config");
  std::string text;
  const auto add = [&](const std::string& key, const std::string& before, const std::string& after) {
    text += fmt::format("{}{} was {}, is {} now", text.empty() ? "" : "; ", key, before, after);
  };
  for (const ConfigKey& one : now) {
    if (!matters(one.key)) continue;
    const ConfigKey* before = find_key(then, one.key);
    // A key that an older version did not have had its default.
    if (before != nullptr && before->value != one.value) add(one.key, before->value, one.value);
    if (before == nullptr && one.key.starts_with(kVolumes)) add(one.key, "not set", one.value);
  }
  for (const ConfigKey& one : then) {
    if (one.key.starts_with(kVolumes) && matters(one.key) && find_key(now, one.key) == nullptr)
      add(one.key, one.value, "not set");
  }
  return text;
}

}  // namespace tessera
