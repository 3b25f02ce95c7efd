#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeline/report/run_record.h"
#include "pipeline/run/overlay.h"

namespace tessera {

/// Red, green and blue of an object. They depend on its id alone.
std::array<std::uint8_t, 3> colour_of_object(std::uint64_t id);

/// Objects over grey pixels, both row-major: each in its colour, with a stronger border; id 0 stays grey.
RgbImage object_overlay(std::span<const std::uint8_t> grey, std::span<const std::uint64_t> ids,
                        std::int64_t height, std::int64_t width);

/// A picture with its caption.
struct ObjectPicture {
  std::string caption;
  RgbImage image;
};

/// Three planes through the middle of the run's segmentation: xy, xz, yz, at most 512 voxels on each side.
/// z is stretched to the proportions of the voxels. Under the objects is the raw volume, else the prediction.
/// Paths are relative to the working directory. Errors: Error, UsageError when the result cannot be read.
std::vector<ObjectPicture> object_planes(const RunRecord& record);

/// Pictures of at most ten objects of `record.object_evaluation` with most voxels outside their largest part,
/// the worst first: the truth on the left, the segmentation on the right, in the section where the object is
/// largest. Errors: as object_planes().
std::vector<ObjectPicture> worst_object_pictures(const RunRecord& record);

}  // namespace tessera
