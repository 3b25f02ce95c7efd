#pragma once

#include <cstddef>
#include <vector>

#include "io/geometry/box.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// Reads the voxels of a result, packed or not, as they were written, without conversion. One thread per
/// process makes HDF5 calls.
class BlockReader {
 public:
  /// Errors: Error when the dataset is missing or has not 3 or 4 dimensions.
  explicit BlockReader(const DatasetName& name);

  /// The voxels of `box`, in the dataset's coordinates: every channel, row-major. Errors: Error.
  std::vector<std::byte> read(const Box& box) const;

 private:
  DatasetName name_;
  Hdf5Handle file_, dataset_, type_;
  int rank_ = 3;
  hsize_t channels_ = 1;
};

}  // namespace tessera
