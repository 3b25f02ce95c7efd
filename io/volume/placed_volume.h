#pragma once

#include <memory>
#include <string>

#include "io/geometry/box.h"
#include "io/volume/volume.h"

namespace tessera {

/// The box of `part` in the voxels of `frame`; it may reach beyond it. Their attributes `offset` place them,
/// in nm, or in voxels where neither has a `resolution`. Volumes of one shape are at the same place where one
/// of them has no offset. Otherwise a missing offset of `frame` is 0, and `part` needs one. `part_role`,
/// `frame_role`: "labels", "raw volume", for messages. Errors: UsageError when the resolutions differ, when
/// the offsets differ by no whole number of voxels, or when the shapes differ and nothing places the part.
Box box_within(const VolumeInfo& part, const std::string& part_role, const VolumeInfo& frame,
               const std::string& frame_role);

/// A volume in the coordinates of another one.
struct PlacedVolume {
  /// info().shape is that of the frame. read() takes boxes in the frame, inside `covered`; other boxes are an
  /// Error.
  std::unique_ptr<Volume> volume;
  Box covered;  ///< the voxels of the frame that the volume has; not empty
};

/// `part` in the coordinates of `frame`. Errors: as box_within(), and UsageError when they have no voxel in
/// common.
PlacedVolume placed_on(std::unique_ptr<Volume> part, const std::string& part_role, const VolumeInfo& frame,
                       const std::string& frame_role);

/// The voxels of `frame` in `box`. Errors: UsageError when there are none.
Box overlap_with(const Box& box, const VolumeInfo& part, const std::string& part_role,
                 const VolumeInfo& frame, const std::string& frame_role);

}  // namespace tessera
