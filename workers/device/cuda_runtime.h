#pragma once

#include <cstdint>
#include <string>

#include "workers/device/gpu_kernels.h"

namespace tessera {

// What needs CUDA itself. All other GPU code uses LibTorch's interfaces for any device, and is in every
// build.

/// Bytes of the current CUDA device's memory, free and used; 0 without CUDA.
std::int64_t cuda_memory();
/// A CUDA device's name, such as "NVIDIA H200"; "" without CUDA's driver.
std::string cuda_name(int index);

/// Records CUDA graphs on the current CUDA device. Empty if this program was built without CUDA's headers or
/// against a LibTorch without CUDA.
KernelRecorder cuda_recorder();

/// Starts custom CUDA kernels on the current CUDA device. The first start of a kernel group on a device
/// compiles the group by NVRTC, so it must not be in a recording. If that fails, a warning says so once per
/// group, and every start of its kernels is an error. Empty as cuda_recorder().
KernelLauncher cuda_launcher();
/// Whether the device is a Hopper GPU, NVRTC can compile for it, and this build has the Hopper kernels
/// (TESSERA_HOPPER_KERNELS).
bool has_hopper_kernels(int index);

}  // namespace tessera
