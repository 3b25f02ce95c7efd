#pragma once

#include "workers/network/gpu_kernels.h"

namespace tessera::testing {

/// Runs the kernels of device_kernels.cu and sample_kernels.cu, compiled as plain C++, on the CPU: all threads in turns. Counts the starts.
KernelLauncher host_launcher(int& started);

}  // namespace tessera::testing
