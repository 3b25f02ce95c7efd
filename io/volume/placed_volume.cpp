#include "io/volume/placed_volume.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "io/base/error.h"

namespace tessera {
namespace {

/// Offsets are often written in single precision, or computed.
constexpr double kVoxelTolerance = 1e-3, kResolutionTolerance = 1e-5;

std::string numbers(const std::vector<double>& values) {
  return values.empty() ? "none" : fmt::format("({})", fmt::join(values, ", "));
}

/// "the labels l.h5:/l".
std::string described(const std::string& role, const VolumeInfo& info) {
  return fmt::format("the {} {}", role, info.name.text());
}

const char* has(const std::string& role) {
  return role == "labels" ? "have" : "has";
}

void require_same_resolution(const VolumeInfo& part, const std::string& part_role, const VolumeInfo& frame,
                             const std::string& frame_role) {
  const std::vector<double>&a = part.resolution_nm, &b = frame.resolution_nm;
  if (a.empty() || b.empty()) return;
  const bool same = std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double x, double y) {
    return std::abs(x - y) <= kResolutionTolerance * std::max(std::abs(x), std::abs(y));
  });
  if (same) return;
  throw UsageError(
      fmt::format("the resolution of {} is {} nm, that of {} is {} nm (attribute 'resolution'): their voxels "
                  "do not belong together. Resample one of them, or correct the attribute.",
                  described(part_role, part), numbers(a), described(frame_role, frame), numbers(b)));
}

class MovedVolume final : public Volume {
 public:
  MovedVolume(std::unique_ptr<Volume> part, const Box& place, const Index3& frame)
      : part_(std::move(part)), info_(part_->info()), place_(place) {
    info_.shape = frame;
  }
  const VolumeInfo& info() const override { return info_; }
  VoxelBuffer read(const Box& box, std::vector<std::byte> memory) override {
    if (!place_.contains(box)) {
      throw Error(fmt::format("cannot read {} of {}: by its offset it has {}", to_string(box),
                              info_.name.text(), to_string(place_)));
    }
    return part_->read(box.relative_to(place_.begin), std::move(memory));
  }
  std::int64_t chunks_read() const override { return part_->chunks_read(); }

 private:
  std::unique_ptr<Volume> part_;
  VolumeInfo info_;
  Box place_;
};

}  // namespace

Box box_within(const VolumeInfo& part, const std::string& part_role, const VolumeInfo& frame,
               const std::string& frame_role) {
  require_same_resolution(part, part_role, frame, frame_role);
  if (part.shape == frame.shape && (part.offset_nm.empty() || frame.offset_nm.empty()))
    return Box::of_shape(frame.shape);
  if (part.offset_nm.empty()) {
    throw UsageError(fmt::format(
        "{} {} the shape {}, but {} {} {}: they must be equal, or attributes 'offset' (in nm) must "
        "place one in the other",
        described(part_role, part), has(part_role), to_string(part.shape), described(frame_role, frame),
        has(frame_role), to_string(frame.shape)));
  }
  const std::vector<double>& resolution =
      frame.resolution_nm.empty() ? part.resolution_nm : frame.resolution_nm;
  Box box;
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    const double begin = part.offset_nm[at] - (frame.offset_nm.empty() ? 0 : frame.offset_nm[at]);
    const double voxels = begin / (resolution.empty() ? 1 : resolution[at]);
    if (std::abs(voxels) > 1e15 || std::abs(voxels - std::round(voxels)) > kVoxelTolerance) {
      throw UsageError(fmt::format(
          "the offset of {} is {}, that of {} is {} (attribute 'offset', in nm): they differ by {} voxels on "
          "axis {}, which is no whole number. Correct the attributes, or resample one of the volumes.",
          described(part_role, part), numbers(part.offset_nm), described(frame_role, frame),
          numbers(frame.offset_nm), voxels, "zyx"[axis]));
    }
    box.begin[axis] = static_cast<std::int64_t>(std::round(voxels));
  }
  box.end = box.begin + part.shape;
  return box;
}

Box overlap_with(const Box& box, const VolumeInfo& part, const std::string& part_role,
                 const VolumeInfo& frame, const std::string& frame_role) {
  const Box covered = intersection(box, Box::of_shape(frame.shape));
  if (!covered.empty()) return covered;
  throw UsageError(
      fmt::format("{} and {} have no voxel in common: by their attributes 'offset', {} and {} nm, the first "
                  "is at {} of the second, whose shape is {}",
                  described(part_role, part), described(frame_role, frame), numbers(part.offset_nm),
                  numbers(frame.offset_nm), to_string(box), to_string(frame.shape)));
}

PlacedVolume placed_on(std::unique_ptr<Volume> part, const std::string& part_role, const VolumeInfo& frame,
                       const std::string& frame_role) {
  const VolumeInfo info = part->info();
  const Box place = box_within(info, part_role, frame, frame_role);
  const Box covered = overlap_with(place, info, part_role, frame, frame_role);
  if (place == Box::of_shape(frame.shape)) return {std::move(part), place};
  return {std::make_unique<MovedVolume>(std::move(part), place, frame.shape), covered};
}

}  // namespace tessera
