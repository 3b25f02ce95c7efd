#include "pipeline/infer/inference_volumes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/stores/dataset_wildcards.h"
#include "pipeline/config/config_values.h"
#include "pipeline/config/yaml_scalar.h"
#include "pipeline/run/checkpoint_choice.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestName = 100;

/// Identifies a file independently of its path.
fs::path identity(const fs::path& file) {
  return fs::weakly_canonical(fs::absolute(file));
}

/// A name that is safe for a folder and for a command-line argument.
std::string safe_name(const std::vector<std::string>& texts) {
  std::string name = fmt::format("{}", fmt::join(texts, "_")).substr(0, kLongestName);
  for (char& c : name) {
    const bool is_safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                         c == '.' || c == '_' || c == '-';
    if (!is_safe) c = '_';
  }
  if (name.empty()) return "volume";
  if (name[0] == '.' || name[0] == '-') name[0] = '_';
  return name;
}

/// `name`, with a number appended if it is already used.
std::string unique_name(const std::string& name, std::set<std::string>& taken) {
  std::string unique = name;
  for (int i = 2; !taken.insert(unique).second; ++i)
    unique = fmt::format("{}_{}", name, i);
  return unique;
}

/// The wildcards of a key. None if a file with exactly this name exists.
std::vector<std::string> wildcards_to_fill(const DatasetName& name) {
  const bool really_called_so = !wildcards_of(name.file.string()).empty() && file_exists(name.file);
  return really_called_so ? std::vector<std::string>() : wildcards_of(name);
}

void require_as_many(const std::string& key, const std::vector<std::string>& own, const std::string& source,
                     const std::vector<std::string>& texts) {
  const std::string mismatch = wildcard_mismatch(own, source, texts);
  if (!mismatch.empty()) throw UsageError(fmt::format("{}: {}", key, mismatch));
}

std::string set_text(const std::string& key, const std::string& value) {
  return key + "=" + to_yaml(value);
}

/// The key whose wildcards select the volumes, and that of their results.
struct VolumeSource {
  std::string key, output_key;
  const std::optional<DatasetName>& output;
};

/// A key whose wildcards take the values of the source's wildcards.
struct FollowingKey {
  std::string key;
  DatasetName pattern;
};

/// Whether the objects are those of infer's result.
bool follows_prediction(const ExperimentConfig& config) {
  const auto &segmented = config.segment.prediction, &predicted = config.infer.output;
  return !segmented || (predicted && predicted->text() == segmented->text());
}

std::vector<FollowingKey> following_keys(const ExperimentConfig& config, const VolumeSource& source,
                                         const std::vector<std::string>& texts) {
  std::vector<FollowingKey> keys;
  if (source.output) {
    require_as_many(source.output_key, wildcards_of(*source.output), source.key, texts);
    keys.push_back({source.output_key, *source.output});
  }
  const auto add = [&](const std::string& key, const std::optional<DatasetName>& pattern) {
    if (!pattern) return;
    const std::vector<std::string> wildcards = wildcards_to_fill(*pattern);
    if (wildcards.empty()) return;  // the same for all volumes
    require_as_many(key, wildcards, source.key, texts);
    keys.push_back({key, *pattern});
  };
  if (source.key == "infer.raw") {
    add("infer.skip.mask", config.infer.skip_mask);
    if (config.segment.wanted) add("segment.prediction", config.segment.prediction);
    add("segment.output", config.segment.output);
  }
  add("segment.mask", config.segment.mask);
  add("segment.choose_labels", config.segment.choose_labels);
  add("evaluate.prediction", config.evaluate.prediction);
  add("evaluate.labels", config.evaluate.labels);
  return keys;
}

/// Removes the matches that lie in another match's output file. An earlier start wrote them.
void leave_out_results(std::vector<WildcardMatch>& matches, const VolumeSource& source) {
  const DatasetName& output = *source.output;
  std::map<fs::path, std::string> source_of;
  for (const WildcardMatch& one : matches)
    source_of.emplace(identity(filled_in(output, one.texts).file), one.name.text());
  std::erase_if(matches, [&](const WildcardMatch& one) {
    const auto found = source_of.find(identity(one.name.file));
    return found != source_of.end() && found->second != one.name.text();
  });
  if (matches.empty()) {
    throw UsageError(source.output_key +
                     ": each volume would be in a file that another's result is written to");
  }
}

/// Requires a separate file for each result.
void require_own_outputs(const std::vector<WildcardMatch>& matches, const std::string& output_key,
                         const DatasetName& output) {
  std::map<fs::path, const WildcardMatch*> taken;
  for (const WildcardMatch& one : matches) {
    const fs::path file = filled_in(output, one.texts).file;
    const auto [other, is_new] = taken.emplace(identity(file), &one);
    if (!is_new) {
      throw UsageError(
          fmt::format("{}: the results of {} and {} would both be in {}: each volume needs a "
                      "file of its own, so put the wildcards into the file's name",
                      output_key, other->second->name.text(), one.name.text(), file.string()));
    }
  }
}

/// A volume for each match.
std::vector<InferenceVolume> volumes_of(const ExperimentConfig& config, const VolumeSource& source,
                                        std::vector<WildcardMatch> matches) {
  const std::vector<FollowingKey> following = following_keys(config, source, matches.front().texts);
  if (source.output) {
    leave_out_results(matches, source);
    require_own_outputs(matches, source.output_key, *source.output);
  }
  if (source.key == "infer.raw" && config.segment.output)
    require_own_outputs(matches, "segment.output", *config.segment.output);
  std::vector<InferenceVolume> volumes;
  std::set<std::string> names;
  for (const WildcardMatch& match : matches) {
    InferenceVolume volume{unique_name(safe_name(match.texts), names), {}};
    volume.overrides = {set_text(source.key, match.name.text()),
                        set_text("run_folder", (config.run_folder / "volumes" / volume.name).string())};
    for (const FollowingKey& one : following)
      volume.overrides.push_back(set_text(one.key, filled_in(one.pattern, match.texts).text()));
    volumes.push_back(std::move(volume));
  }
  return volumes;
}

/// Appends a text, terminated by a zero byte.
void append_text(std::string& all, const std::string& text) {
  all.append(text).push_back('\0');
}
std::string take_text(const std::string& all, std::size_t& at) {
  const std::size_t end = all.find('\0', at);
  std::string text = all.substr(at, end - at);
  at = end + 1;
  return text;
}

}  // namespace

std::vector<InferenceVolume> inference_volumes(const ExperimentConfig& config) {
  std::vector<InferenceVolume> only{{config.name, {}}};
  if (!config.infer.raw) return only;
  const DatasetName& raw = *config.infer.raw;
  if (wildcards_of(raw).empty()) {
    const bool seems_many =
        config.infer.output && config.infer.output->file.string().find_first_of("*?") != std::string::npos;
    if (seems_many) require_as_many("infer.output", wildcards_of(*config.infer.output), "infer.raw", {});
    return only;
  }
  std::vector<WildcardMatch> matches;
  try {
    matches = find_datasets(raw);
  } catch (const Error& error) {
    throw Error(fmt::format("infer.raw: {}", error.what()));
  }
  const auto output_in = [&](const fs::path& folder) {
    return set_text("infer.output", default_output(folder, config.infer, config.model.classes).text());
  };
  if (matches.front().name.text() == raw.text()) {  // a file with exactly this name exists
    if (config.infer.output) return only;
    return {{config.name, {output_in(config.run_folder)}}};
  }
  std::vector<InferenceVolume> volumes =
      volumes_of(config, {"infer.raw", "infer.output", config.infer.output}, std::move(matches));
  const std::string checkpoint =
      checkpoint_path(config.infer.checkpoint, RunFolder(config.run_folder)).string();
  for (InferenceVolume& one : volumes) {
    if (config.infer.ensemble.empty()) one.overrides.push_back(set_text("infer.checkpoint", checkpoint));
    if (!config.infer.output) one.overrides.push_back(output_in(config.run_folder / "volumes" / one.name));
  }
  return volumes;
}

std::vector<InferenceVolume> segmentation_volumes(const ExperimentConfig& config) {
  const auto& prediction = config.segment.prediction;
  const bool named = prediction && !follows_prediction(config);
  const std::vector<std::string> wildcards =
      named ? wildcards_to_fill(*prediction) : std::vector<std::string>();
  const bool many_raw = config.infer.raw && !wildcards_of(*config.infer.raw).empty();
  if (!named || (many_raw && !wildcards.empty())) return inference_volumes(config);
  if (wildcards.empty()) {
    if (config.segment.output)
      require_as_many("segment.output", wildcards_to_fill(*config.segment.output), "segment.prediction", {});
    return {{config.name, {}}};
  }
  std::vector<WildcardMatch> matches;
  try {
    matches = find_datasets(*prediction);
  } catch (const Error& error) {
    throw Error(fmt::format("segment.prediction: {}", error.what()));
  }
  return volumes_of(config, {"segment.prediction", "segment.output", config.segment.output},
                    std::move(matches));
}

void require_own_choices(const ExperimentConfig& config, std::size_t volumes) {
  const SegmentConfig& segment = config.segment;
  if (volumes < 2 || segment.choose == ThresholdChoice::none || !segment.choose_labels ||
      !wildcards_to_fill(*segment.choose_labels).empty())
    return;
  throw UsageError(
      fmt::format("segment.choose_labels: {} volumes are segmented, but {} are the labels of one: use the "
                  "wildcards of the volumes, or choose the threshold on one volume (--volume NAME) and set "
                  "segment.threshold, with segment.choose: none, for all",
                  volumes, segment.choose_labels->text()));
}

std::vector<InferenceVolume> volumes_for(VolumeUse use, const ExperimentConfig& config,
                                         const Communicator& world) {
  std::string all;
  on_root(world, [&] {
    for (const InferenceVolume& one :
         use == VolumeUse::segmentation ? segmentation_volumes(config) : inference_volumes(config)) {
      append_text(all, one.name);
      for (const std::string& text : one.overrides)
        append_text(all, text);
      append_text(all, "");
    }
  });
  world.broadcast(all);
  std::vector<InferenceVolume> volumes;
  for (std::size_t at = 0; at < all.size();) {
    volumes.push_back({take_text(all, at), {}});
    for (std::string text = take_text(all, at); !text.empty(); text = take_text(all, at))
      volumes.back().overrides.push_back(text);
  }
  return volumes;
}

ExperimentConfig experiment_of(const ExperimentConfig& whole, const InferenceVolume& volume,
                               const ConfigNeeds& needs) {
  if (volume.overrides.empty()) return whole;
  return parse_experiment(whole.resolved_yaml, fmt::format("volume {} of {}", volume.name, whole.name),
                          volume.overrides, needs);
}

}  // namespace tessera
