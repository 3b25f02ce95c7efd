#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "workers/samples/device_sampler.h"
#include "workers/samples/sample_source.h"

namespace tessera {

/// Samples that the host made, as tensors on `device`: contents and shapes as DeviceSampler::make. On the CPU
/// the tensors share the memory of `prepared`, which must outlive them.
SampleTensors tensors_of(std::vector<PreparedSample>& prepared, const at::Device& device);

}  // namespace tessera
