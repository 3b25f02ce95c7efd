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

void check_volume(ConfigSection& volume, const VolumeConfig& c) {
  if (c.label_kind == LabelKind::instances && c.invert_labels) {
    volume.problem("invert_labels", "goes with label_kind: classes: 0 is no cell among instances");
  }
  const auto& train = c.train_sections;
  const auto& held_out = c.validation_sections;
  if (train && held_out && std::max(train->begin, held_out->begin) < std::min(train->end, held_out->end)) {
    volume.problem("validation_sections", "overlaps train_sections: scores on them would mean nothing");
  }
  if (!PixelCorners{c.region_begin, c.region_end}.in_order()) volume.problem("region", kCornersInOrder);
  // A file may have * in its name: names of files with wildcards are judged after the look-up.
  const auto is_plain = [](const DatasetName& name) { return wildcards_of(name.file.string()).empty(); };
  if (c.raw && c.labels && is_plain(*c.raw) && is_plain(*c.labels)) {
    const std::string mismatch = wildcard_mismatch(wildcards_of(*c.labels), "raw", wildcards_of(*c.raw));
    if (!mismatch.empty()) volume.problem("labels", mismatch);
  }
}

const Key kRaw{"raw",
               "The raw volume: uint8, uint16 or floating point; (y, x), (z, y, x) or (channel, z, y, x). "
               "Wildcards * ? [a-f] as in the shell select several volumes. Images are imported once, into "
               "import_folder; changed images are noticed.",
               {.example = "em.h5:/volumes/raw",
                .related = "data.labels data.volumes data.resolution infer.raw import_folder"}};
const Key kLabels{
    "labels",
    "The labels of the raw volume: whole numbers, of its shape, or of a part that the attributes offset and "
    "resolution place. Up to 2 classes: above 0 is class 1. More classes: class ids from 0. Needs as many "
    "wildcards as raw; the same texts replace them.",
    {.example = "em.h5:/volumes/labels/cells",
     .related = "data.label_kind data.invert_labels data.ignore_label"}};
const Key kTrainSections{"train_sections",
                         "The sections to train on.",
                         {.example = "[0, 16]", .related = "data.validation_sections data.region"}};
const Key kValidationSections{
    "validation_sections",
    "Sections that are held out of the training. Their score decides which checkpoint is the best.",
    {.example = "[16, 20]",
     .fallback = "none",
     .related = "data.train_sections train.validate_every train.validation_metric"}};
const Key kLabelKind{"label_kind",
                     "classes: labels are class ids. instances: labels are ids of cells, 0 is background; "
                     "cells are class 1, and a "
                     "border of class 0 is drawn where cells touch.",
                     {.example = "instances", .related = "data.invert_labels model.classes"}};
const Key kInvertLabels{
    "invert_labels",
    "true: 0 is class 1, all other labels are class 0. Only with label_kind: classes and up to 2 "
    "classes.",
    {.example = "true", .related = "data.label_kind"}};
const Key kIgnoreLabel{"ignore_label",
                       "Voxels with this id are neither trained on nor scored. Any id of 64 bits.",
                       {.example = "99", .fallback = "train.ignore_label", .related = "train.ignore_label"}};
const Key kRegion{
    "region",
    "The part of each section that is trained on and scored; nothing outside is. Without it: all of "
    "the section."};

/// Missing keys are taken from `defaults`.
VolumeConfig read_volume(ConfigSection& volume, const VolumeConfig& defaults, ImageInputs& images,
                         bool needs_volume, bool needs_sections) {
  VolumeConfig c = defaults;
  c.key = volume.path();
  const auto raw = volume_input(volume, kRaw, false, images, needs_volume),
             labels = volume_input(volume, kLabels, true, images, needs_volume);
  if (needs_volume || volume.has("raw") || volume.has("labels")) {
    c.raw = raw;
    c.labels = labels;
  }
  const auto train = sections(volume, kTrainSections, needs_sections),
             held_out = sections(volume, kValidationSections);
  if (needs_sections || volume.has("train_sections") || volume.has("validation_sections")) {
    c.train_sections = train;
    c.validation_sections = held_out;
  }
  c.label_kind = volume.choice(kLabelKind, defaults.label_kind);
  c.invert_labels = volume.get<bool>(kInvertLabels, defaults.invert_labels);
  if (const auto ignored = volume.optional<LabelId>(kIgnoreLabel)) c.ignore_label = ignored;
  const PixelCorners own = pixel_region(volume, kRegion, {});
  if (own.begin) c.region_begin = own.begin;
  if (own.end) c.region_end = own.end;
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

bool names_dataset(const DatasetName& pattern, const DatasetName& name) {
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

std::vector<VolumeConfig> DataConfig::all_volumes() const {
  return volumes.empty() ? std::vector<VolumeConfig>{*this} : volumes;
}

const VolumeConfig* DataConfig::volume_of_labels(const DatasetName& name) const {
  for (const VolumeConfig& one : volumes) {
    if (one.labels && names_dataset(*one.labels, name)) return &one;
  }
  return labels && names_dataset(*labels, name) ? this : nullptr;
}

bool DataConfig::names_several() const {
  return is_pattern(raw) || is_pattern(labels);
}

std::vector<ConfigSection> read_data(ConfigSection data, DataConfig& config, ImageInputs& images,
                                     bool training) {
  const bool is_list = data.has("volumes");
  static_cast<VolumeConfig&>(config) =
      read_volume(data, {}, images, training && !is_list, training && !is_list);
  images.resolution_nm = data.optional<std::vector<double>>(
                                 {"resolution",
                                  "The voxel size of images, which do not say it. HDF5 files have it in the "
                                  "attribute resolution.",
                                  {.example = "[50, 4, 4]",
                                   .fallback = "not known",
                                   .form = "[z, y, x], nm",
                                   .related = "data.raw data.labels infer.raw"}},
                                 above(0).of_count(3))
                             .value_or(std::vector<double>());
  std::vector<ConfigSection> items = data.sections(
      {"volumes",
       "Several volumes as one training set, each with its own raw and labels. The keys of data are the "
       "defaults for all of them: raw with labels, and both kinds of sections, together. A volume without "
       "any "
       "sections is trained on as a whole; one with validation_sections alone is held out."});
  for (ConfigSection& volume : items) {
    const bool own = volume.has("raw") || volume.has("labels");
    VolumeConfig c = read_volume(volume, config, images, own || !config.raw || !config.labels, false);
    c.sampling_weight = volume.optional<double>(
        {"sampling_weight",
         "How often samples come from this volume, relative to the other volumes. Then each volume that is "
         "trained on needs a weight.",
         {.example = "1", .fallback = "each volume by its annotated pixels"}},
        above(0));
    config.volumes.push_back(c);
  }
  config.normalisation = data.choice(
      {"normalisation",
       "Mean and deviation of the raw values. all: over all volumes together. volume: of each volume; "
       "infer then uses those of its own raw volume.",
       {.example = "volume", .related = "infer.normalisation"}},
      NormalisationScope::all);
  config.min_foreground = data.get<double>({"min_foreground",
                                            "The share of foreground (not class 0) that a sample's outputs "
                                            "need. Below it the sample is drawn again, "
                                            "at most 20 times; then the best of them is used.",
                                            {.example = "0.1"}},
                                           0, between(0, 1));
  config.allow_one_class = data.get<bool>(
      {"allow_one_class",
       "true: all annotated voxels may be of one class. Otherwise labels of one class are an error.",
       {.example = "true", .related = "data.label_kind data.invert_labels"}},
      false);
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
