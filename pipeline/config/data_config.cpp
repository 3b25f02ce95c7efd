#include "pipeline/config/data_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/wildcard_pattern.h"
#include "io/stores/dataset_wildcards.h"
#include "pipeline/config/config_values.h"

namespace tessera {
namespace {

/// Brackets in a file's name count as a part of the name: many files have such names.
bool is_pattern(const std::optional<DatasetName>& name) {
  return name &&
         (!wildcards_of(name->path).empty() || name->file.string().find_first_of("*?") != std::string::npos);
}

/// The parts of a path between its slashes.
std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts{""};
  for (const char c : path) {
    if (c == '/')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

/// Whether `name` is `pattern`, or one of the datasets that its wildcards stand for.
bool names_labels(const DatasetName& pattern, const DatasetName& name) {
  if (pattern.text() == name.text()) return true;
  const auto matches = [](const std::string& wanted, const std::string& text) {
    const std::vector<std::string> patterns = parts_of(wanted), parts = parts_of(text);
    return std::equal(patterns.begin(), patterns.end(), parts.begin(), parts.end(),
                      [](const std::string& one, const std::string& part) {
                        return one == part || WildcardPattern(one).match(part);
                      });
  };
  return matches(pattern.file.string(), name.file.string()) && matches(pattern.path, name.path);
}

void check_volume(ConfigSection& volume, const VolumeConfig& c) {
  if (c.label_kind == LabelKind::instances && c.invert_labels) {
    volume.problem("invert_labels", "goes with label_kind: classes: 0 is no cell among instances");
  }
  const auto& train = c.train_sections;
  const auto& held_out = c.validation_sections;
  if (train && held_out && std::max(train->begin, held_out->begin) < std::min(train->end, held_out->end)) {
    volume.problem("validation_sections", "overlaps train_sections: scores on them would mean nothing");
  }
  if (c.region_end) {
    const Index3 begin = c.region_begin.value_or(Index3{});
    if (begin.y >= c.region_end->y || begin.x >= c.region_end->x) {
      volume.problem("region", "half-open: begin must be below end in y and in x");
    }
  }
  // A file may have * in its name: names of files with wildcards are judged after the look-up.
  const auto is_plain = [](const DatasetName& name) { return wildcards_of(name.file.string()).empty(); };
  if (c.raw && c.labels && is_plain(*c.raw) && is_plain(*c.labels)) {
    const std::string mismatch = wildcard_mismatch(wildcards_of(*c.labels), "raw", wildcards_of(*c.raw));
    if (!mismatch.empty()) volume.problem("labels", mismatch);
  }
}

/// Missing keys are taken from `defaults`.
VolumeConfig read_volume(ConfigSection& volume, const VolumeConfig& defaults, bool needs_volume,
                         bool needs_sections) {
  VolumeConfig c = defaults;
  c.key = volume.path();
  const auto raw = dataset(volume, "raw", needs_volume), labels = dataset(volume, "labels", needs_volume);
  if (needs_volume || volume.has("raw") || volume.has("labels")) {
    c.raw = raw;
    c.labels = labels;
  }
  const auto train = sections(volume, "train_sections", needs_sections),
             held_out = sections(volume, "validation_sections");
  if (needs_sections || volume.has("train_sections") || volume.has("validation_sections")) {
    c.train_sections = train;
    c.validation_sections = held_out;
  }
  c.label_kind = volume.choice("label_kind", defaults.label_kind);
  c.invert_labels = volume.get<bool>("invert_labels", defaults.invert_labels);
  if (const auto ignored = volume.optional<LabelId>("ignore_label")) c.ignore_label = ignored;
  ConfigSection data_region = volume.section("region");
  if (const auto begin = pixel(data_region, "begin", 0)) c.region_begin = begin;
  if (const auto end = pixel(data_region, "end", 1)) c.region_end = end;
  return c;
}

void check_sampling(std::vector<ConfigSection>& items, const std::vector<VolumeConfig>& volumes) {
  const auto is_trained_on = [](const VolumeConfig& one) { return !one.is_held_out(); };
  const bool any = std::any_of(volumes.begin(), volumes.end(),
                               [](const auto& one) { return one.sampling_weight.has_value(); });
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    if (is_trained_on(volumes[i]) && any && !volumes[i].sampling_weight) {
      items[i].problem("sampling_weight",
                       "is missing where other volumes have one: give it to each that is trained on, "
                       "or to none (then each counts by its annotated pixels)");
    }
    if (!is_trained_on(volumes[i]) && volumes[i].sampling_weight) {
      items[i].problem("sampling_weight",
                       "no sample comes from here: it has validation_sections, but no train_sections");
    }
  }
}

}  // namespace

std::vector<VolumeConfig> DataConfig::all_volumes() const {
  return volumes.empty() ? std::vector<VolumeConfig>{*this} : volumes;
}

const VolumeConfig* DataConfig::volume_of_labels(const DatasetName& name) const {
  for (const VolumeConfig& one : volumes) {
    if (one.labels && names_labels(*one.labels, name)) return &one;
  }
  return labels && names_labels(*labels, name) ? this : nullptr;
}

bool DataConfig::names_several() const {
  return is_pattern(raw) || is_pattern(labels);
}

std::vector<ConfigSection> read_data(ConfigSection data, DataConfig& config, bool training) {
  const bool is_list = data.has("volumes");
  static_cast<VolumeConfig&>(config) = read_volume(data, {}, training && !is_list, training && !is_list);
  std::vector<ConfigSection> items = data.sections("volumes");
  for (ConfigSection& volume : items) {
    const bool own = volume.has("raw") || volume.has("labels");
    VolumeConfig c = read_volume(volume, config, own || !config.raw || !config.labels, false);
    c.sampling_weight = volume.optional<double>("sampling_weight", above(0));
    config.volumes.push_back(c);
  }
  config.normalisation = data.choice("normalisation", NormalisationScope::all);
  config.min_foreground = data.get<double>("min_foreground", 0, between(0, 1));
  config.allow_one_class = data.get<bool>("allow_one_class", false);
  if (is_list && items.empty())
    data.problem("volumes", "lists no volume: write '- raw: ...' lines beneath, or take the key out");
  if (items.empty()) items.push_back(data);
  const std::vector<VolumeConfig> all = config.all_volumes();
  for (std::size_t i = 0; i < items.size(); ++i)
    check_volume(items[i], all[i]);
  if (!config.volumes.empty()) {
    check_sampling(items, config.volumes);
    if (std::all_of(all.begin(), all.end(), [](const VolumeConfig& one) { return one.is_held_out(); })) {
      data.problem(
          "volumes",
          "all of them are held out (validation_sections without train_sections): nothing is left to "
          "train on");
    }
  }
  return items;
}

void check_labels(std::vector<ConfigSection>& volumes, DataConfig& config, std::int64_t classes,
                  const std::optional<LabelId>& train_ignore_label) {
  const std::vector<VolumeConfig> all = config.all_volumes();
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    if (all[i].label_kind == LabelKind::instances && classes > 2) {
      volumes[i].problem("label_kind",
                         fmt::format("instances tells cells from background, but model.classes is {}: set it "
                                     "to 2 or 1",
                                     classes));
    }
    if (all[i].invert_labels && classes > 2) {
      volumes[i].problem("invert_labels", fmt::format("swaps two classes, but model.classes is {}", classes));
    }
  }
  const auto hand_over = [&](VolumeConfig& one) {
    if (!one.ignore_label) one.ignore_label = train_ignore_label;
  };
  hand_over(config);
  for (VolumeConfig& one : config.volumes)
    hand_over(one);
}

}  // namespace tessera
