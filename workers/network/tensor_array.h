#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "io/hdf5/checkpoint_file.h"

namespace tessera {

/// Converts a float32 or int64 tensor, on any device, to an array of a checkpoint.
CheckpointArray array_of(const at::Tensor& tensor);

/// Copies the array `path` of a checkpoint into `tensor`. `name` names the checkpoint in messages. Errors:
/// Error if the array is missing or has another shape or type.
void copy_array(const Checkpoint& checkpoint, const std::string& path, at::Tensor& tensor,
                const std::string& name);

}  // namespace tessera
