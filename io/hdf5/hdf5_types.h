#pragma once

#include <hdf5.h>

#include <string>

#include "io/geometry/voxel_type.h"

namespace tessera {

/// The HDF5 type of voxels in memory. The identifier is borrowed: do not close it.
hid_t hdf5_memory_type(VoxelType type);

/// A type's name for people, such as "int64" or "float32, big-endian".
std::string hdf5_type_text(hid_t type);

}  // namespace tessera
