#pragma once

#include "workers/device/gpu_kernels.h"

namespace tessera::testing {

/// Records LibTorch's operators on the CPU, as CUDA graphs record kernels. A replay reads and writes the
/// memory of the recording and repeats its scalars. So a test detects a missing input, address or scalar.
/// Operations that a device cannot record throw c10::Error: reading a value, drawing random numbers. Two
/// errors are not detected. One is memory that is freed too early, because the recording keeps all memory.
/// The other is a change of an operator's arguments during the recording.
KernelRecorder operator_recorder();
/// The same recorder, which also counts the recordings.
KernelRecorder counted_recorder(int& recorded);

}  // namespace tessera::testing
