#pragma once

#include "workers/device/gpu_kernels.h"

namespace tessera::testing {

/// Records LibTorch's operators on the CPU as CUDA graphs record kernels: replaying them reads and writes the
/// memory of the recording and repeats its numbers, so that a recording that misses an input, a place or a
/// number is seen here. What a device could not record throws c10::Error: reading a value, drawing random
/// numbers. Not seen are memory that is given back too early, for the recording keeps all of it, and what an
/// operator does to its arguments while it is recorded.
KernelRecorder operator_recorder();
/// The same, counting its recordings.
KernelRecorder counted_recorder(int& recorded);

}  // namespace tessera::testing
