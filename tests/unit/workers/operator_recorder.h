#pragma once

#include "workers/network/gpu_kernels.h"

namespace tessera::testing {

/// Records LibTorch's operators on the CPU as CUDA graphs record kernels: replaying them reads and writes the memory of the
/// recording and repeats its numbers, so that what a recording forgets is seen here as on a GPU. What a device could not
/// record throws c10::Error: reading a value, a copy to another device, drawing random numbers.
KernelRecorder operator_recorder();

}  // namespace tessera::testing
