#pragma once

#include <hdf5.h>

#include <compare>
#include <string>
#include <vector>

#include "io/volume/dataset_name.h"

namespace tessera {

/// A dataset that a virtual dataset takes voxels from.
struct VirtualSource {
  std::string file;  ///< as stored; "." for the virtual dataset's own file
  std::string path;  ///< absolute
  /// The shape that the source must reach; empty where its size may vary.
  std::vector<hsize_t> shape;
  /// The number of values of a source that is taken as a whole; 0 for others.
  hsize_t values = 0;

  auto operator<=>(const VirtualSource&) const = default;
};

/// Every source of a virtual dataset, sorted, each once. Sources with numbers in their names (`%b`) are
/// listed one by one, as many as the dataset's shape asks for. Errors: Error.
std::vector<VirtualSource> virtual_sources(hid_t dataset, hid_t creation_list, const DatasetName& name);

/// Errors: Error "<start>, ..." when `dataset` has not the size that the virtual dataset takes from it.
void require_extent(const VirtualSource& source, hid_t dataset, const std::string& start);

}  // namespace tessera
