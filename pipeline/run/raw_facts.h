#pragma once

#include <string>
#include <vector>

#include "io/geometry/voxel_type.h"
#include "io/hdf5/checkpoint_file.h"
#include "io/volume/volume.h"

namespace tessera {

/// The raw volumes that a network was trained on, as its checkpoint says. Checkpoints of older versions say
/// nothing.
struct RawFacts {
  std::vector<std::vector<double>> voxel_sizes_nm;  ///< each different one, (z, y, x)
  std::vector<std::string> types;                   ///< each different one, such as "uint8"

  void add(const VolumeInfo& raw);
  void store(Checkpoint& checkpoint) const;
  static RawFacts of(const Checkpoint& checkpoint);

  /// A sentence when the voxel size of `raw` differs by more than 10 % on an axis from every one of the
  /// training; "" otherwise, and where either is unknown.
  std::string voxel_size_doubt(const VolumeInfo& raw) const;
  /// Likewise for the type of the voxels.
  std::string type_doubt(const VolumeInfo& raw) const;
};

}  // namespace tessera
