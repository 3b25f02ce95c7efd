#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/voxel_conversion.h"
#include "io/volume/volume.h"

namespace tessera {

class ParallelChunkReader;

/// A dataset of an HDF5 file as a volume. Integers of at most 64 bits become uint8, uint16, uint32 or uint64,
/// and so do enumerations, such as h5py's bool, and bit fields. A signed type becomes the unsigned type of
/// its width, and a negative value is an error. Floating point of any width becomes float32. For
/// `ReadAs::ids`, signed types and floating point become uint64: -1 is 2^64 - 1, and a fraction is an error.
/// Keeps the file open. One thread per process makes HDF5 calls.
class VolumeReader final : public Volume {
 public:
  /// Errors: Error when the file, the dataset, a filter, external storage or a virtual source is missing or
  /// unreadable, or the dataset is empty, or of a type, rank or order of axes that no volume has.
  explicit VolumeReader(const DatasetName& name, const ReadOptions& options = {},
                        ReadAs read_as = ReadAs::values);
  VolumeReader(VolumeReader&&) noexcept;
  VolumeReader& operator=(VolumeReader&&) noexcept;
  ~VolumeReader() override;

  const VolumeInfo& info() const override { return info_; }
  VoxelBuffer read(const Box& box, std::vector<std::byte> memory = {}) override;
  std::int64_t chunks_read() const override { return chunks_read_; }

 private:
  void read_shape();
  void read_storage();
  void read_by_library(const Box& box, VoxelBuffer& buffer, const std::string& what);
  /// False when the HDF5 library must read the box.
  bool read_in_parallel(const Box& box, VoxelBuffer& buffer, const std::string& what);
  std::int64_t chunks_touched(const Box& box) const;

  VolumeInfo info_;
  VoxelConversion conversion_;
  Hdf5Handle file_;
  Hdf5Handle dataset_;
  std::int64_t chunks_read_ = 0;
  std::unique_ptr<ParallelChunkReader> parallel_;
};

}  // namespace tessera
