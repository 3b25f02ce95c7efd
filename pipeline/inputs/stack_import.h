#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "io/base/file_lock.h"
#include "io/hdf5/volume_file.h"
#include "io/images/image_options.h"
#include "io/volume/dataset_name.h"

namespace tessera {

/// The conversion of images to a dataset of an HDF5 file.
struct StackImport {
  std::filesystem::path stack;  ///< a TIFF stack, a PNG image or a folder of sections
  DatasetName output;
  VolumeSpec spec;              ///< resolution, offset, compression; the images give type and shape
  std::optional<Index3> chunk;  ///< none: default_chunk()
  bool overwrite = false;       ///< replace the dataset when it exists
  ImageOptions images;
};

/// Imports the images. `lock`: of the output's file, held by the caller from before its first look at it.
/// Returns a line about the dataset. Errors: Error, UsageError.
std::string import_stack(const StackImport& options, const FileLock& lock);

}  // namespace tessera
