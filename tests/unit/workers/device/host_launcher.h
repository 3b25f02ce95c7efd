#pragma once

#include "workers/device/gpu_kernels.h"

namespace tessera::testing {

/// The order in which the threads of a block run, within what CUDA allows.
struct HostThreads {
  bool backwards = false;      ///< from the last thread to the first
  bool late_copies = false;    ///< copies to shared memory run at the wait, else at their start
  bool late_products = false;  ///< the same for products of a warpgroup
};

/// Runs the kernels of workers/kernels, compiled as C++, on the CPU. Counts the launches.
KernelLauncher host_launcher(int& started, HostThreads threads = {});

}  // namespace tessera::testing
