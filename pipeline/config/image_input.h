#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/volume/dataset_name.h"
#include "pipeline/config/yaml_reader.h"

namespace tessera {

/// Images that stand where a volume is named: a TIFF stack, a PNG image, or a folder of sections. They are
/// read through a dataset that they are imported to once (pipeline/inputs).
struct ImageInput {
  std::string key;               ///< that names them, such as "data.raw"
  std::filesystem::path images;  ///< as named, without a slash at the end
  DatasetName dataset;           ///< that they are imported to
};

/// The images that an experiment names, in the order of its keys.
struct ImageInputs {
  std::filesystem::path folder;       ///< where they are imported
  std::vector<double> resolution_nm;  ///< their voxel size (z, y, x), or empty
  std::vector<ImageInput> all;

  /// The dataset of some images; notes them. The same images are imported once for grey values and once for
  /// labels. Errors: UsageError for wildcards.
  DatasetName dataset_of(const std::string& key, const std::string& images, bool labels);
  /// The images that a dataset is imported from; null when it is no import.
  const ImageInput* source_of(const DatasetName& dataset) const;
};

/// Whether the value of a key names images: it has no path inside a file, and ends in .tif, .tiff or .png, in
/// a slash, or is the name of a folder without any extension. Does not access the file system.
bool names_images(const std::string& text);

/// `file.h5:/path/in/file`, or images, of a key; problems as for dataset(). `labels`: they are ids.
std::optional<DatasetName> volume_input(ConfigSection& section, Key key, bool labels, ImageInputs& images,
                                        bool required = false);

}  // namespace tessera
