#pragma once

#include <cstdint>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"

namespace tessera {

/// The voxel at position `i` of an axis of `n` voxels that is mirrored without repeating the edge voxel
/// (numpy's `reflect`), as often as needed: ... 2 1 [0 1 2 .. n-1] n-2 n-3 ...
/// n >= 1; with n = 1 the result is 0.
std::int64_t mirror_index(std::int64_t i, std::int64_t n);

/// The smallest box inside a volume of `shape` that holds every voxel of the mirrored `box`.
/// `box` may be partly or wholly outside the volume; it must not be empty.
Box mirrored_source(const Box& box, const Index3& shape);

/// The voxels of `box`, mirrored at the volume's border, cut out of `held`, which holds `held_box` of a
/// volume of `shape`. `held_box` must hold mirrored_source(box, shape).
VoxelBuffer cut_mirrored(const VoxelBuffer& held, const Box& held_box, const Box& box, const Index3& shape);

}  // namespace tessera
