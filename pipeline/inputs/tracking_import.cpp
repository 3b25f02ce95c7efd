#include "pipeline/inputs/tracking_import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/hdf5/volume_file.h"
#include "io/images/image_stack.h"
#include "io/images/section_files.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLayout =
    "the layout of the Cell Tracking Challenge has frames 01/t000.tif and masks 01_GT/SEG/man_seg000.tif";

/// The number in "t012.tif" after the prefix "t"; none for another name.
std::optional<std::int64_t> number_in(const fs::path& file, const std::string& prefix) {
  const std::string stem = file.stem().string();
  if (!is_tiff_name(file) || !stem.starts_with(prefix) || stem.size() == prefix.size()) return std::nullopt;
  std::int64_t number = 0;
  const auto [end, code] = std::from_chars(stem.data() + prefix.size(), stem.data() + stem.size(), number);
  if (code != std::errc{} || end != stem.data() + stem.size()) return std::nullopt;
  return number;
}

/// The files of a folder by their numbers. Errors: UsageError for two files of one number.
std::map<std::int64_t, fs::path> numbered_files(const fs::path& folder, const std::string& prefix) {
  std::map<std::int64_t, fs::path> files;
  for (const fs::path& file : paths_in(folder)) {
    const auto number = number_in(file, prefix);
    if (!number) continue;
    const auto [other, is_new] = files.emplace(*number, file);
    if (!is_new)
      throw UsageError(fmt::format("{} and {} are of the same frame: remove one", other->second.string(),
                                   file.filename().string()));
  }
  return files;
}

/// One sequence: its frames in order, with their masks and markers.
class Sequence {
 public:
  Sequence(const TrackingImport& options, const std::string& name)
      : options_(options),
        name_(name),
        folder_(options.folder / name),
        masks_folder_(options.folder / (name + (options.silver ? "_ST" : "_GT")) / "SEG") {
    if (!is_folder(folder_))
      throw UsageError(fmt::format("there is no folder {}: {}", folder_.string(), kLayout));
    find_frames();
    find_masks();
    ImageOptions reading;
    reading.missing = missing();
    frames_.emplace(folder_, reading);
    choose_frames();
    shape_ = frames_->shape();
    shape_.z = std::ssize(numbers_);
  }

  /// Adds the datasets to the file. Returns a line for each.
  std::string write(VolumeFile& file) {
    const std::string raw = add(file, "raw", frames_->type()), masks = add(file, "masks", VoxelType::uint16),
                      labels = add(file, "labels", VoxelType::uint16);
    std::int64_t annotated = 0, partial = 0;
    std::set<std::uint16_t> ids;
    for (std::int64_t at = 0; at < shape_.z; ++at) {
      file.write_sections(raw, at, frames_->read_section(places_[static_cast<std::size_t>(at)]));
      const auto mask = masks_.find(numbers_[static_cast<std::size_t>(at)]);
      VoxelBuffer truth(VoxelType::uint16, {1, shape_.y, shape_.x});
      const auto values = truth.as<std::uint16_t>();
      std::ranges::fill(values, kNotAnnotated);
      if (mask == masks_.end()) {
        file.write_sections(masks, at, truth);
        file.write_sections(labels, at, truth);
        continue;
      }
      truth = read_ids(mask->second, "mask");
      const auto found = truth.as<std::uint16_t>();
      ids.insert(found.begin(), found.end());
      ++annotated;
      file.write_sections(masks, at, truth);
      if (options_.partial || misses_a_cell(mask->first, truth)) {
        ++partial;
        std::ranges::replace(found, std::uint16_t{0}, kNotAnnotated);
      }
      file.write_sections(labels, at, truth);
    }
    if (ids.contains(kNotAnnotated))
      throw UsageError(
          fmt::format("the masks of {} have the id {}, which marks pixels without annotation here",
                      masks_folder_.string(), kNotAnnotated));
    ids.erase(0);
    return fmt::format(
        "{0}:/{1}/raw: {2} {3}, frames {4} to {5}\n{0}:/{1}/labels: {6} of {7} frames annotated{8}, {9} ids; "
        "{10}: not annotated\n",
        options_.output.string(), name_, to_string(shape_), name_of(frames_->type()), numbers_.front(),
        numbers_.back(), annotated, shape_.z, partial > 0 ? fmt::format(", {} of them in part", partial) : "",
        ids.size(), kNotAnnotated);
  }

 private:
  MissingSections missing() const {
    return options_.skip_missing ? MissingSections::skip : MissingSections::ask;
  }

  void find_frames() {
    if (numbered_files(folder_, "t").empty())
      throw UsageError(fmt::format("{} has no frame such as t000.tif: {}", folder_.string(), kLayout));
    // As a folder of sections: the same errors for gaps and for what is no frame.
    for (const fs::path& file : list_sections(folder_, missing()).files) {
      const auto number = number_in(file, "t");
      if (!number) throw UsageError(fmt::format("{} is no frame of a sequence: {}", file.string(), kLayout));
      numbers_.push_back(*number);
    }
  }

  void find_masks() {
    masks_ = numbered_files(masks_folder_, "man_seg");
    for (const fs::path& file : paths_in(masks_folder_)) {
      if (file.filename().string().starts_with("man_seg_"))
        throw UsageError(
            fmt::format("{} is a slice of a 3-D frame: only 2-D sequences are read", file.string()));
    }
    if (masks_.empty())
      throw UsageError(
          fmt::format("{} has no mask such as man_seg000.tif: {}", masks_folder_.string(), kLayout));
    for (const auto& [number, file] : masks_) {
      if (std::ranges::find(numbers_, number) == numbers_.end())
        throw UsageError(fmt::format("{} belongs to frame {}, but {} has no such frame", file.string(),
                                     number, folder_.string()));
    }
    if (!options_.silver) markers_ = numbered_files(options_.folder / (name_ + "_GT") / "TRA", "man_track");
  }

  /// All frames, or those that have a mask.
  void choose_frames() {
    std::vector<std::int64_t> chosen;
    for (std::size_t place = 0; place < numbers_.size(); ++place) {
      if (options_.annotated && !masks_.contains(numbers_[place])) continue;
      chosen.push_back(numbers_[place]);
      places_.push_back(static_cast<std::int64_t>(place));
    }
    numbers_ = std::move(chosen);
  }

  /// Adds a dataset and returns its path.
  std::string add(VolumeFile& file, const std::string& what, VoxelType type) const {
    VolumeSpec spec;
    spec.path = fmt::format("/{}/{}", name_, what);
    spec.type = type;
    spec.shape = shape_;
    spec.chunk = default_chunk(shape_);
    spec.attributes["frames"] = fmt::format("{}", fmt::join(numbers_, " "));
    spec.attributes["source"] = fs::absolute(options_.folder).lexically_normal().string();
    require_free_space(options_.output, volume_of(shape_) * size_of(type));
    file.add(spec, options_.overwrite);
    return spec.path;
  }

  /// The ids of a mask or of markers, (1, y, x) uint16.
  VoxelBuffer read_ids(const fs::path& file, const char* what) {
    ImageStackReader image(file);
    const Index3 expected{1, shape_.y, shape_.x};
    if (image.shape() != expected) {
      throw UsageError(
          fmt::format("the {} {} has the shape {}, the frames have {}: they do not belong together", what,
                      file.string(), to_string(image.shape()), to_string(expected)));
    }
    if (image.type() == VoxelType::uint16) return image.read_section(0);
    if (image.type() != VoxelType::uint8)
      throw UsageError(fmt::format("the {} {} is {}: ids of cells are uint16", what, file.string(),
                                   name_of(image.type())));
    if (!told_) spdlog::warn("{} has 8 bits a pixel: ids above 255 cannot be in it", file.string());
    told_ = true;
    const VoxelBuffer narrow = image.read_section(0);
    VoxelBuffer wide(VoxelType::uint16, expected);
    std::ranges::copy(narrow.as<std::uint8_t>(), wide.as<std::uint16_t>().begin());
    return wide;
  }

  /// Whether a frame has a marker that no mask covers.
  bool misses_a_cell(std::int64_t number, const VoxelBuffer& mask) {
    const auto found = markers_.find(number);
    if (found == markers_.end()) return false;
    const VoxelBuffer markers = read_ids(found->second, "marker image");
    const auto ids = markers.as<std::uint16_t>(), cells = mask.as<std::uint16_t>();
    std::set<std::uint16_t> all, covered;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == 0) continue;
      all.insert(ids[i]);
      if (cells[i] != 0) covered.insert(ids[i]);
    }
    return covered.size() < all.size();
  }

  const TrackingImport& options_;
  std::string name_;
  fs::path folder_, masks_folder_;
  std::vector<std::int64_t> numbers_;  ///< of the frames, in order
  std::vector<std::int64_t> places_;   ///< of these frames in the folder
  std::map<std::int64_t, fs::path> masks_, markers_;
  std::optional<ImageStackReader> frames_;
  Index3 shape_;
  bool told_ = false;
};

/// The sequences of the folder that have masks.
std::vector<std::string> sequences_in(const TrackingImport& options) {
  std::vector<std::string> names;
  for (const fs::path& path : paths_in(options.folder)) {
    const std::string name = path.filename().string();
    const bool is_number = name.size() >= 2 && std::ranges::all_of(name, is_digit);
    const fs::path masks = options.folder / (name + (options.silver ? "_ST" : "_GT")) / "SEG";
    if (is_number && is_folder(path) && is_folder(masks)) names.push_back(name);
  }
  if (names.empty())
    throw UsageError(fmt::format("{} has no sequence with masks: {}", options.folder.string(), kLayout));
  return names;
}

}  // namespace

std::string import_tracking(const TrackingImport& options) {
  if (!is_folder(options.folder))
    throw UsageError(fmt::format("{} is no folder: {}", options.folder.string(), kLayout));
  const FileLock lock(options.output);
  std::string lines;
  VolumeFile file(options.output, true);
  for (const std::string& name : options.sequences.empty() ? sequences_in(options) : options.sequences)
    lines += Sequence(options, name).write(file);
  file.commit();
  return lines;
}

}  // namespace tessera
