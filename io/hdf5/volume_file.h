#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/base/durable_file.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// What a new volume dataset is to be.
struct VolumeSpec {
  std::string path = "/volumes/raw";  ///< inside the file
  VoxelType type = VoxelType::uint8;
  Index3 shape;
  Index3 chunk;                       ///< clipped to the shape
  int gzip = 0;                       ///< 0: no filter; 1 to 9: shuffle and gzip of that level
  std::vector<double> resolution_nm;  ///< (z, y, x) or empty
  std::vector<double> offset_nm;      ///< (z, y, x) or empty
  std::map<std::string, std::string> attributes;
};

/// An HDF5 file that one process writes through the library, start to end: aside, then put in place at
/// once, so that a killed process leaves either the old file or the new one. What inference writes, by many
/// processes, goes through `create_output_volume` and `BlockWriter` instead.
class VolumeFile {
 public:
  /// `keep`: what `file` already holds stays (it is copied first); otherwise the file starts empty.
  /// Errors: Error.
  VolumeFile(const std::filesystem::path& file, bool keep);

  /// Adds a dataset. With `replace` an existing one of that name goes, else it is an Error.
  void add(const VolumeSpec& spec, bool replace);
  /// Writes sections [z_begin, z_begin + buffer.shape.z) of a dataset that add() made.
  void write_sections(const std::string& path, std::int64_t z_begin, const VoxelBuffer& buffer);
  /// Closes and puts the file in place. Nothing else may be called afterwards.
  void commit();

 private:
  StagedFile staged_;
  std::filesystem::path file_;
  Hdf5Handle opened_;
};

/// The HDF5 type of voxels in memory (a borrowed identifier).
hid_t hdf5_memory_type(VoxelType type);

/// A chunk shape for `shape` where nothing else says one: about 256 KiB, as deep as useful for sections.
Index3 default_chunk(const Index3& shape);

}  // namespace tessera
