#pragma once

#include <hdf5.h>

#include <filesystem>
#include <vector>

#include "io/volume/dataset_name.h"

namespace tessera {

/// The files of a dataset's external storage; none for other datasets. Errors: Error when one does not exist,
/// or ends before its voxels do (the HDF5 library reads what is missing as 0).
std::vector<std::filesystem::path> require_external_files(hid_t dataset, hid_t creation_list,
                                                          const DatasetName& name);

}  // namespace tessera
