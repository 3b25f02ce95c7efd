#pragma once

#include <hdf5.h>

#include <string>

#include "io/geometry/voxel_type.h"
#include "io/volume/dataset_name.h"
#include "io/volume/read_as.h"

namespace tessera {

/// How the stored values of a dataset become voxels in memory.
struct VoxelConversion {
  enum class Kind {
    numbers,        ///< numbers of `type`; a value outside of its range is an error
    sign_extended,  ///< signed integers of any width become the 64 bits of their two's complement
    whole_numbers,  ///< floating point, which must be whole numbers, becomes integers of 64 bits
    wide_numbers,   ///< floating point of more bits than float32: a whole number that float32 cannot hold is
                    ///< an error
    bits            ///< bit fields become the unsigned integers of their width
  };
  VoxelType type = VoxelType::uint8;
  Kind kind = Kind::numbers;
};

/// The conversion for a dataset: see `VolumeReader`. Errors: Error when its values are no voxels.
VoxelConversion conversion_of(hid_t dataset, const DatasetName& name, ReadAs read_as);

/// Reads a selection of a dataset into `buffer`, which has the conversion's type. Errors: Error "<what>: ..."
/// also when a value does not fit the type.
void read_voxels(hid_t dataset, const VoxelConversion& conversion, hid_t memory_space, hid_t file_space,
                 VoxelBuffer& buffer, const std::string& what);

}  // namespace tessera
