#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/base/staged_file.h"
#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// The properties of a new volume dataset.
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

/// An HDF5 file that one process writes through the library. It is written under another name and then
/// renamed, so that a killed process leaves either the old file or the new one. Results, which many processes
/// write, are made by `create_hdf5_output` and `BlockWriter` instead.
class VolumeFile {
 public:
  /// `keep`: the new file begins as a copy of `file`; otherwise it begins empty. Errors: Error.
  VolumeFile(const std::filesystem::path& file, bool keep);

  /// Adds a dataset. Errors: Error; UsageError when the name exists, unless it is a dataset and `replace` is
  /// true. Groups and links are never replaced.
  void add(const VolumeSpec& spec, bool replace);
  /// Writes sections [z_begin, z_begin + buffer.shape.z) of a dataset that add() made.
  void write_sections(const std::string& path, std::int64_t z_begin, const VoxelBuffer& buffer);
  /// Closes the file and renames it to its final name. Nothing else may be called afterwards. Errors: Error.
  void commit();

 private:
  StagedFile staged_;
  std::filesystem::path file_;
  Hdf5Handle opened_;
};

/// The default chunk shape: at most 4 sections of 256 x 256 voxels.
Index3 default_chunk(const Index3& shape);

}  // namespace tessera
