#include "pipeline/start/input_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <string_view>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/other_format.h"
#include "io/hdf5/hdf5_listing.h"
#include "io/volume/dataset_name.h"
#include "pipeline/config/image_input.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// Usual names of datasets; those of CREMI are raw, neuron_ids and clefts.
constexpr std::array kRawNames{"raw", "image", "images", "em", "grey", "gray"};
constexpr std::array kLabelNames{"labels", "label",        "neuron_ids",  "groundtruth", "ground_truth",
                                 "gt",     "segmentation", "annotations", "annotation"};

template <std::size_t N>
bool has_name(const Hdf5Entry& entry, const std::array<const char*, N>& names) {
  const std::string last = entry.path.substr(entry.path.rfind('/') + 1);
  return std::ranges::any_of(names, [&](std::string_view one) { return one == last; });
}

bool is_floating(const VolumeInfo& volume) {
  return volume.type == VoxelType::float32 || volume.type == VoxelType::float16;
}

std::string list_text(const std::vector<const Hdf5Entry*>& entries, const fs::path& file) {
  constexpr std::size_t kMost = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(entries.size(), kMost); ++i) {
    text += fmt::format("\n  {}:{} {} {}", file.string(), entries[i]->path,
                        to_string(entries[i]->volume->shape), entries[i]->type);
  }
  if (entries.size() > kMost) text += fmt::format("\n  ... ({} in all)", entries.size());
  return text;
}

/// The only entry, or the only one with a usual name; null without one of these.
const Hdf5Entry* only_one(const std::vector<const Hdf5Entry*>& entries,
                          const std::function<bool(const Hdf5Entry&)>& has_usual_name) {
  if (entries.size() == 1) return entries.front();
  const Hdf5Entry* found = nullptr;
  for (const Hdf5Entry* one : entries) {
    if (!has_usual_name(*one)) continue;
    if (found != nullptr) return nullptr;
    found = one;
  }
  return found;
}

std::vector<const Hdf5Entry*> volumes_of(const Hdf5Listing& listing,
                                         const std::function<bool(const Hdf5Entry&)>& accepts) {
  std::vector<const Hdf5Entry*> found;
  for (const Hdf5Entry& one : listing.entries) {
    if (one.volume && accepts(one)) found.push_back(&one);
  }
  return found;
}

const Hdf5Entry& raw_in(const Hdf5Listing& listing, const fs::path& file) {
  const auto could_be_raw = [](const Hdf5Entry& one) {
    const VoxelType type = one.volume->type;
    return (type == VoxelType::uint8 || type == VoxelType::uint16 || is_floating(*one.volume)) &&
           !has_name(one, kLabelNames) && one.path.find("/label") == std::string::npos;
  };
  const std::vector<const Hdf5Entry*> candidates = volumes_of(listing, could_be_raw);
  const Hdf5Entry* raw = only_one(candidates, [](const Hdf5Entry& one) { return has_name(one, kRawNames); });
  if (raw != nullptr) return *raw;
  if (candidates.empty()) {
    throw UsageError(
        fmt::format("{} has no dataset of grey values (uint8, uint16 or floating point, 2 to 4 "
                    "dimensions): 'tessera info {}' lists what it has",
                    file.string(), file.string()));
  }
  throw UsageError(
      fmt::format("{} has several datasets that could be the raw volume: name one, such as {}:{}{}",
                  file.string(), file.string(), candidates.front()->path, list_text(candidates, file)));
}

/// The labels of a raw volume in its file; none where there is no candidate.
std::optional<std::string> labels_in(const Hdf5Listing& listing, const DatasetName& raw, const Index3& shape,
                                     std::vector<std::string>& notes) {
  const auto could_be_labels = [&](const Hdf5Entry& one) {
    return one.path != raw.path && !is_floating(*one.volume) && one.volume->shape == shape &&
           one.volume->channels == 1 && one.volume->attributes.count("meaning") == 0;
  };
  const std::vector<const Hdf5Entry*> candidates = volumes_of(listing, could_be_labels);
  if (candidates.empty()) return std::nullopt;
  const Hdf5Entry* labels =
      only_one(candidates, [](const Hdf5Entry& one) { return has_name(one, kLabelNames); });
  if (labels == nullptr) {
    throw UsageError(fmt::format(
        "{} has several datasets that could be the labels: choose one, such as --labels {}:{}{}",
        raw.file.string(), raw.file.string(), candidates.front()->path, list_text(candidates, raw.file)));
  }
  if (candidates.size() > 1)
    notes.push_back(fmt::format("{} are the labels by their name, among {} datasets of this shape",
                                labels->path, candidates.size()));
  return DatasetName{raw.file, labels->path}.text();
}

bool is_dataset(const std::string& text) {
  return text.find(":/") != std::string::npos;
}

/// Images as an experiment names them: a folder whose name has an extension needs a slash.
std::string images_text(const std::string& text) {
  return is_folder(text) && !names_images(text) ? text + "/" : text;
}

bool are_images(const std::string& text) {
  return is_folder(text) || (names_images(text) && !fs::path(text).extension().empty());
}

void require_file(const std::string& file) {
  if (!file_exists(file)) throw UsageError(fmt::format("there is no {}{}", file, missing_file_note(file)));
  if (const std::string other = other_format(file); !other.empty())
    throw UsageError(fmt::format("{} is {}", file, other));
}

/// `--labels`: a dataset, images, or an HDF5 file with one label volume.
std::string labels_named(const std::string& text) {
  if (is_dataset(text)) return text;
  require_file(text);
  if (are_images(text)) return images_text(text);
  const Hdf5Listing listing = list_hdf5_file(text);
  const auto could_be = [](const Hdf5Entry& one) { return !is_floating(*one.volume); };
  const std::vector<const Hdf5Entry*> candidates = volumes_of(listing, could_be);
  const Hdf5Entry* labels =
      only_one(candidates, [](const Hdf5Entry& one) { return has_name(one, kLabelNames); });
  if (labels != nullptr) return DatasetName{text, labels->path}.text();
  throw UsageError(
      fmt::format("--labels {}: name the dataset, as {}:/path{}", text, text, list_text(candidates, text)));
}

}  // namespace

InputChoice choose_inputs(const std::string& input, const std::optional<std::string>& labels) {
  InputChoice choice;
  if (labels) choice.labels = labels_named(*labels);
  if (!is_dataset(input)) require_file(input);
  if (!is_dataset(input) && are_images(input)) {
    choice.raw = images_text(input);
    return choice;
  }
  const DatasetName named = is_dataset(input) ? parse_dataset_name(input) : DatasetName{input, ""};
  require_file(named.file.string());
  const Hdf5Listing listing = list_hdf5_file(named.file);
  DatasetName raw = named;
  const Hdf5Entry* entry = nullptr;
  if (raw.path.empty()) {
    entry = &raw_in(listing, named.file);
    raw.path = entry->path;
    choice.notes.push_back(fmt::format("{} is the raw volume", raw.text()));
  } else {
    const auto found = std::ranges::find(listing.entries, raw.path, &Hdf5Entry::path);
    if (found != listing.entries.end()) entry = &*found;
  }
  choice.raw = raw.text();
  // What links lead to is not listed: then the labels must be named.
  if (!choice.labels && entry != nullptr && entry->volume)
    choice.labels = labels_in(listing, raw, entry->volume->shape, choice.notes);
  return choice;
}

}  // namespace tessera
