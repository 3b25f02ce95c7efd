#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "io/hdf5/checkpoint_file.h"

namespace tessera {

/// A float32 or int64 tensor, on any device, as an array of a checkpoint.
CheckpointArray array_of(const at::Tensor& tensor);

/// Copies the array `path` of a checkpoint into `tensor`. Errors: Error when it is missing, of another shape
/// or of another type; `name` names the checkpoint.
void copy_array(const Checkpoint& checkpoint, const std::string& path, at::Tensor& tensor,
                const std::string& name);

}  // namespace tessera
