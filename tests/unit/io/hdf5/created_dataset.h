#pragma once

#include <hdf5.h>

#include <filesystem>
#include <vector>

#include "io/hdf5/hdf5_handle.h"

namespace tessera::testing {

/// A new HDF5 file by the library alone; it replaces a file of this name.
inline Hdf5Handle create_file(const std::filesystem::path& file) {
  return {H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose};
}

/// A new dataset of `dims` below `parent` by the library alone; its values are not written. An invalid handle
/// on failure.
inline Hdf5Handle create_dataset(hid_t parent, const char* name, hid_t type, const std::vector<hsize_t>& dims,
                                 hid_t creation_list = H5P_DEFAULT) {
  const Hdf5Handle space(H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), H5Sclose);
  return {H5Dcreate2(parent, name, type, space.get(), H5P_DEFAULT, creation_list, H5P_DEFAULT), H5Dclose};
}

}  // namespace tessera::testing
