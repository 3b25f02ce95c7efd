#pragma once

#include <optional>
#include <string>

#include "io/base/file_lock.h"
#include "io/hdf5/volume_file.h"
#include "io/volume/dataset_name.h"
#include "pipeline/inputs/import_source.h"

namespace tessera {

/// The conversion of images, or of another dataset, to a dataset of an HDF5 file.
struct StackImport {
  std::string source;  ///< a TIFF stack, a PNG image, a folder of sections, or file:/dataset
  DatasetName output;
  VolumeSpec spec;              ///< resolution, offset, compression; the source gives type and shape
  std::optional<Index3> chunk;  ///< none: default_chunk()
  bool overwrite = false;       ///< replace the dataset when it exists
  ImportSourceOptions reading;
};

/// Imports the source. `lock`: of the output's file, held by the caller from before its first look at it.
/// Returns a line about the dataset. Errors: Error, UsageError.
std::string import_stack(const StackImport& options, const FileLock& lock);

}  // namespace tessera
