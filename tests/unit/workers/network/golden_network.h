#pragma once

#include <hdf5.h>

#include <ATen/Functions.h>

#include <string>
#include <vector>

#include "io/hdf5/hdf5_handle.h"
#include "workers/network/network.h"
#include "workers/network/unet.h"

namespace tessera::testing {

/// A float32 dataset of a golden file as a tensor.
inline at::Tensor golden_tensor(hid_t file, const std::string& path) {
  Hdf5Handle dataset(check_hdf5(H5Dopen2(file, path.c_str(), H5P_DEFAULT), path), H5Dclose);
  Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
  std::vector<hsize_t> dims(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
  H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  at::Tensor tensor = at::empty(std::vector<std::int64_t>(dims.begin(), dims.end()));
  check_hdf5(H5Dread(dataset.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, tensor.data_ptr()),
             path);
  return tensor;
}

/// Copies the weights of a golden file into the network. The file must contain every parameter and statistic.
inline void load_golden_weights(Network& network, hid_t file) {
  torch::NoGradGuard no_grad;
  for (auto& item : network.named_parameters())
    item.value().copy_(golden_tensor(file, "weights/" + item.key()));
  for (auto& item : network.named_buffers()) {
    if (item.key().find("num_batches_tracked") != std::string::npos) continue;
    item.value().copy_(golden_tensor(file, "weights/" + item.key()));
  }
}

}  // namespace tessera::testing
