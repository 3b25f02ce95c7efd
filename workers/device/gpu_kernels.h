#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>

namespace tessera {

/// A choice of kernels for one network. All choices compute the same, but for rounding. Which one is the
/// fastest depends on the GPU, the version of cuDNN, the precision and the shapes.
struct GpuKernels {
  bool fused = false;  ///< cuDNN's convolution, bias and ReLU in one kernel, in place of one each; CUDA only
  bool maxima =
      false;  ///< pooling as three maxima of two; else LibTorch's pooling, which writes 8-byte indices, too
  bool own = false;  ///< custom CUDA kernels (custom_kernels.h) for the steps that have one; bfloat16 on CUDA
                     ///< only
  /// Steps of forward_plan.h with a fixed reduction order (fixed_order_convolution.h); CUDA only.
  std::set<std::size_t> ordered = {};
  std::string text() const;
};

/// Measures the seconds that some kernels take.
using KernelTimer = std::function<double(const std::function<void()>&)>;
/// The fastest choice by the timer, the first of equal ones. A choice that throws c10::Error is left out;
/// only the first one must not throw. Errors: c10::Error.
GpuKernels fastest_kernels(std::span<const GpuKernels> ways,
                           const std::function<void(const GpuKernels&)>& run, const KernelTimer& time);
/// Times kernels on a CUDA device.
KernelTimer cuda_timer(int index);

/// How a custom CUDA kernel (workers/kernels/README.md) is started.
struct KernelStart {
  const char* name;
  std::int64_t blocks_x = 1, blocks_y = 1;  ///< of kKernelThreads threads
  bool loops = false;             ///< the kernel accepts any number of blocks: start no more than run at once
  std::int64_t shared_bytes = 0;  ///< dynamic shared memory of a block
};
constexpr int kKernelThreads = 256;
/// Starts a kernel on the current device's current stream. `arguments` point to the kernel's arguments.
/// Errors: c10::Error.
using KernelLauncher = std::function<void(const KernelStart& start, std::span<void*> arguments)>;
/// Blocks for so many threads.
constexpr std::int64_t blocks_for(std::int64_t threads) {
  return (threads + kKernelThreads - 1) / kKernelThreads;
}
/// Starts a kernel with these arguments, which have the types of the kernel's parameters.
template <class... Arguments>
void start_kernel(const KernelLauncher& launch, const KernelStart& start, Arguments... arguments) {
  std::array<void*, sizeof...(Arguments)> places = {
      const_cast<void*>(static_cast<const void*>(&arguments))...};
  launch(start, places);
}

/// Kernels that were recorded once (a CUDA graph) and are started together. Starting them one by one costs
/// the host some microseconds each, more than short kernels take. Addresses are recorded, too: tensors that
/// the kernels use must live as long as the recording, and keep their memory.
class RecordedKernels {
 public:
  virtual ~RecordedKernels() = default;
  /// Starts them on the current stream.
  virtual void replay() = 0;
};
/// Records what a function starts. It calls the function several times; replay() writes to the tensors of the
/// last call. The function must not wait for the device, draw random numbers, or depend on results of its
/// kernels. Scalar arguments keep the recorded values. Errors: c10::Error.
using KernelRecorder = std::function<std::unique_ptr<RecordedKernels>(const std::function<void()>& kernels)>;

}  // namespace tessera
