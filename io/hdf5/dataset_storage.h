#pragma once

#include <hdf5.h>

#include <filesystem>
#include <vector>

#include "io/volume/dataset_name.h"

namespace tessera {

/// Checks that all that a dataset's voxels are read from is there: its filters, the files of external storage
/// in full, and the sources of a virtual dataset, with their own storage. Without this check the HDF5 library
/// reads missing sources as the fill value. Returns every file that holds voxels or the mapping of a virtual
/// dataset: canonical, sorted, each once. Errors: Error that names what is missing.
std::vector<std::filesystem::path> require_storage(hid_t dataset, const DatasetName& name);

}  // namespace tessera
