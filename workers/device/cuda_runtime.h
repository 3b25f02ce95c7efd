#pragma once

#include <cstdint>
#include <string>

#include "workers/device/gpu_kernels.h"

namespace tessera {

// What only CUDA has. Everything else that runs on a GPU goes by LibTorch's interfaces for any device, and is
// in every build.

/// Bytes of the current CUDA device's memory, free or not; 0 without CUDA.
std::int64_t cuda_memory();
/// A CUDA device's name, such as "NVIDIA H200"; "" without CUDA's driver.
std::string cuda_name(int index);

/// Records on the current CUDA device, as CUDA graphs; empty where this program was built without CUDA's
/// headers or against a LibTorch without CUDA.
KernelRecorder cuda_recorder();

/// Starts Tessera's own kernels on the current CUDA device. The first start on a device compiles them, the
/// convolutions by themselves, by NVRTC, so it must not be in a recording. Where that fails, a warning says
/// so once for each, and every start is an error. Empty as cuda_recorder().
KernelLauncher cuda_launcher();
/// Whether that device is a Hopper card and NVRTC knows it, so that it can start hopper_kernels.cu.
bool has_hopper_kernels(int index);

}  // namespace tessera
