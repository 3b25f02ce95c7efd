#pragma once

#include "workers/device/gpu_kernels.h"

namespace tessera::testing {

/// Records LibTorch's operators on the CPU, as CUDA graphs record kernels. A replay reads and writes the
/// memory of the recording and repeats its scalars. So it shows if a recording misses an input, an address or
/// a scalar. What a device cannot record throws c10::Error: reading a value, drawing random numbers. It does
/// not show memory that is freed too early, because the recording keeps all of it, nor what an operator does
/// to its arguments while it is recorded.
KernelRecorder operator_recorder();
/// The same, and counts its recordings.
KernelRecorder counted_recorder(int& recorded);

}  // namespace tessera::testing
