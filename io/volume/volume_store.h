#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/volume/output_layout.h"
#include "io/volume/read_as.h"
#include "io/volume/volume.h"

namespace tessera {

/// The groups and datasets of an open file.
class DatasetTree {
 public:
  enum class Kind { nothing, group, dataset };

  virtual ~DatasetTree() = default;
  /// What `path` (absolute, "/" for the root) leads to; links are followed.
  virtual Kind kind_of(const std::string& path) const = 0;
  /// The names in a group, sorted. Errors: Error.
  virtual std::vector<std::string> names_in(const std::string& group) const = 0;
};

/// A format that volumes are stored in. `io/stores/open_volume.h` has the registry of all stores and what the
/// program calls.
class VolumeStore {
 public:
  virtual ~VolumeStore() = default;

  /// The name of the format, such as "HDF5".
  virtual std::string name() const = 0;
  /// Whether files with this extension (lower case, such as ".h5") belong to the store, whatever they hold.
  virtual bool has_extension(const std::string& extension) const = 0;
  /// Whether an existing file, of any name, has the store's format. Reads its beginning.
  virtual bool has_format(const std::filesystem::path& file) const = 0;

  /// See the functions of these names in `io/stores/open_volume.h`.
  virtual std::unique_ptr<Volume> open(const DatasetName& name, const ReadOptions& options,
                                       ReadAs read_as) const = 0;
  virtual std::unique_ptr<DatasetTree> open_tree(const std::filesystem::path& file) const = 0;
  virtual OutputLayout create_output(const OutputVolumeSpec& spec) const = 0;
  virtual OutputLayout read_output_layout(const DatasetName& name) const = 0;
  virtual std::unique_ptr<VolumeWriter> open_writer(const DatasetName& name,
                                                    const OutputLayout& layout) const = 0;
};

}  // namespace tessera
