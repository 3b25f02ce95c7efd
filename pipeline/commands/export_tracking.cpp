#include "pipeline/commands/export_tracking.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <system_error>
#include <vector>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/replace_folder.h"
#include "io/base/temporary_name.h"
#include "io/images/image_stack.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// The frames' numbers, ascending, one of each section of the volume.
std::vector<std::int64_t> frame_numbers(const std::string& text, std::int64_t sections) {
  std::vector<std::int64_t> numbers;
  if (text.empty()) {
    for (std::int64_t z = 0; z < sections; ++z)
      numbers.push_back(z);
    return numbers;
  }
  std::istringstream in(text);
  for (std::int64_t number = 0; in >> number;)
    numbers.push_back(number);
  if (!in.eof() || std::ssize(numbers) != sections || !std::ranges::is_sorted(numbers) || numbers.front() < 0)
    throw UsageError(fmt::format("--frames: '{}' does not name the frames of {} sections in ascending order",
                                 text, sections));
  return numbers;
}

/// The labels of the tracks, frame by frame.
class Tracks {
 public:
  /// The label of an id in a frame. Errors: UsageError for too many labels.
  std::uint16_t label(std::uint64_t id, std::int64_t frame) {
    const auto known = newest_.find(id);
    if (known != newest_.end() && rows_[known->second].end + 1 >= frame) {
      rows_[known->second].end = frame;
      return static_cast<std::uint16_t>(known->second + 1);
    }
    if (rows_.size() == 65535)
      throw UsageError(
          "more than 65,535 objects: the masks of the Cell Tracking Challenge have 16 bits; "
          "leave out small objects (segment.min_size), or fewer frames (--sections)");
    newest_[id] = rows_.size();
    rows_.push_back({frame, frame});
    return static_cast<std::uint16_t>(rows_.size());
  }

  std::int64_t count() const { return std::ssize(rows_); }
  /// The lines of res_track.txt.
  std::string text() const {
    std::string lines;
    for (std::size_t i = 0; i < rows_.size(); ++i)
      lines += fmt::format("{} {} {} 0\n", i + 1, rows_[i].begin, rows_[i].end);
    return lines;
  }

 private:
  struct Row {
    std::int64_t begin = 0, end = 0;
  };
  std::vector<Row> rows_;                        ///< by label, from 1
  std::map<std::uint64_t, std::size_t> newest_;  ///< rows, by id
};

/// The labels of a section, (1, y, x) uint16.
VoxelBuffer labels_of(const VoxelBuffer& slab, std::int64_t at, std::int64_t frame, Tracks& tracks) {
  const Index3 shape{1, slab.shape.y, slab.shape.x};
  VoxelBuffer mask(VoxelType::uint16, shape);
  const auto labels = mask.as<std::uint16_t>();
  with_voxel_type(slab.type, [&](auto zero) {
    using Voxel = decltype(zero);
    const auto ids = slab.as<Voxel>().subspan(static_cast<std::size_t>(at) * labels.size(), labels.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == Voxel{}) continue;
      labels[i] = i > 0 && ids[i] == ids[i - 1] ? labels[i - 1]
                                                : tracks.label(static_cast<std::uint64_t>(ids[i]), frame);
    }
  });
  return mask;
}

/// Removes the folder that an error leaves unfinished.
class StagedFolder {
 public:
  explicit StagedFolder(const fs::path& target) : path_(temporary_name(target)) {
    create_folder_of(path_);
    std::error_code code;
    if (!fs::create_directory(path_, code) || code)
      throw Error(fmt::format("cannot create the folder {}: {}", path_.string(), code.message()));
  }
  ~StagedFolder() {
    std::error_code ignored;  // a destructor cannot report it
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const fs::path& path() const { return path_; }
  void replace(const fs::path& target) {
    replace_folder(path_, target);
    path_.clear();
  }

 private:
  fs::path path_;
};

}  // namespace

std::int64_t export_tracking(Volume& volume, const TrackingExport& options) {
  const VolumeInfo& info = volume.info();
  if (info.type == VoxelType::float16 || info.type == VoxelType::float32)
    throw UsageError(fmt::format("{} is {}: masks are ids of objects; make them with tessera segment",
                                 info.name.text(), name_of(info.type)));
  const std::vector<std::int64_t> frames = frame_numbers(options.frames, info.shape.z);
  const int digits = frames.back() > 999 ? 4 : 3;
  remove_stale_temporaries(options.output);
  StagedFolder staged(options.output);
  Tracks tracks;
  constexpr std::int64_t kSlabBytes = std::int64_t{256} << 20;
  const Index3 shape{1, info.shape.y, info.shape.x};
  const std::int64_t depth = std::clamp<std::int64_t>(kSlabBytes / (volume_of(shape) * size_of(info.type)), 1,
                                                      info.chunk ? info.chunk->z : 1);
  for (std::int64_t z = options.sections.begin; z < options.sections.end;) {
    const std::int64_t next = std::min(round_down(z, depth) + depth, options.sections.end);
    const VoxelBuffer slab = volume.read({{z, 0, 0}, {next, shape.y, shape.x}});
    for (std::int64_t at = z; at < next; ++at) {
      const std::int64_t frame = frames[static_cast<std::size_t>(at)];
      ImageStackWriter image(staged.path() / fmt::format("mask{:0{}}.tif", frame, digits), VoxelType::uint16,
                             shape);
      image.write_sections(labels_of(slab, at - z, frame, tracks));
      image.finish();
    }
    z = next;
  }
  write_text_file(staged.path() / "res_track.txt", tracks.text());
  staged.replace(options.output);
  return tracks.count();
}

}  // namespace tessera
