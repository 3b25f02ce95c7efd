#pragma once

#include "workers/device/gpu_kernels.h"

namespace tessera::testing {

/// How threads of a block that work together are run, within what CUDA allows.
struct HostThreads {
  bool backwards = false;  ///< the last first
  bool late_copies =
      false;  ///< copies to shared memory are made when they are waited for, else when they begin
  bool late_products = false;  ///< so are a warpgroup's products
};

/// Runs the kernels of workers/network and workers/train, compiled as plain C++, on the CPU. Counts the
/// starts.
KernelLauncher host_launcher(int& started, HostThreads threads = {});

}  // namespace tessera::testing
