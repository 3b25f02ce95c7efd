#pragma once

#include <hdf5.h>

#include "io/geometry/voxel_type.h"

namespace tessera {

/// The HDF5 type of voxels in memory. The identifier is borrowed: do not close it.
hid_t hdf5_memory_type(VoxelType type);

}  // namespace tessera
