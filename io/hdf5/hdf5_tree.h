#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/hdf5/hdf5_handle.h"
#include "io/volume/volume_store.h"

namespace tessera {

/// The groups and datasets of an HDF5 file, which is open as long as the tree exists.
class Hdf5Tree final : public DatasetTree {
 public:
  /// Errors: Error when the file cannot be opened.
  explicit Hdf5Tree(const std::filesystem::path& file);

  Kind kind_of(const std::string& path) const override;
  std::vector<std::string> names_in(const std::string& group) const override;

 private:
  std::filesystem::path name_;
  Hdf5Handle file_;
};

}  // namespace tessera
