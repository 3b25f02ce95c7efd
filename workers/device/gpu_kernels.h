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

/// Ways to do the same; which is the fastest depends on the card, the version of cuDNN, the precision and the
/// shapes.
struct GpuKernels {
  bool fused = false;  ///< cuDNN's convolution, bias and ReLU in one kernel, in place of one each; CUDA only
  bool maxima =
      false;  ///< pooling as three maxima of two; else LibTorch's pooling, which writes 8-byte indices, too
  bool own = false;  ///< Tessera's own kernels (custom_kernels.h) for the steps that they know; bfloat16 on
                     ///< CUDA only
  /// Steps of forward_plan.h that sum in one order (fixed_order_convolution.h); CUDA only.
  std::set<std::size_t> ordered = {};
  std::string text() const;
};

/// Seconds that some kernels take.
using KernelTimer = std::function<double(const std::function<void()>&)>;
/// The fastest of some ways by the timer, the first of equal ones. A way that throws c10::Error is none, but
/// the first, which must be possible. Errors: c10::Error.
GpuKernels fastest_kernels(std::span<const GpuKernels> ways,
                           const std::function<void(const GpuKernels&)>& run, const KernelTimer& time);
/// Times kernels on a CUDA device.
KernelTimer cuda_timer(int index);

/// How one of Tessera's own kernels (device_kernels.cu, convolution_kernels.cu, hopper_kernels.cu,
/// sample_kernels.cu) is started.
struct KernelStart {
  const char* name;
  std::int64_t blocks_x = 1, blocks_y = 1;  ///< of kKernelThreads threads
  bool loops = false;                       ///< any number of blocks does: no more than run at once
  std::int64_t shared_bytes = 0;  ///< of a block's shared memory, beside what the kernel names itself
};
constexpr int kKernelThreads = 256;
/// Starts a kernel on the current device's current stream; `arguments` point to the values that it takes.
/// Errors: c10::Error.
using KernelLauncher = std::function<void(const KernelStart& start, std::span<void*> arguments)>;
/// Blocks for so many threads.
constexpr std::int64_t blocks_for(std::int64_t threads) {
  return (threads + kKernelThreads - 1) / kKernelThreads;
}
/// The same with the values themselves, of the types that the kernel takes.
template <class... Arguments>
void start_kernel(const KernelLauncher& launch, const KernelStart& start, Arguments... arguments) {
  std::array<void*, sizeof...(Arguments)> places = {
      const_cast<void*>(static_cast<const void*>(&arguments))...};
  launch(start, places);
}

/// Kernels that were recorded once and are started all together: starting them one by one costs the host some
/// microseconds each, which short kernels do not hide. What they read and write stays at its place: tensors
/// that they use from outside must live as long, and keep their memory.
class RecordedKernels {
 public:
  virtual ~RecordedKernels() = default;
  /// Starts them on the current stream.
  virtual void replay() = 0;
};
/// Records what a function starts. It calls it several times; what it made the last time is what replay()
/// writes. The function must not wait for the device, draw random numbers, nor depend on what its kernels
/// compute; numbers that it hands them stay those of the recording. Errors: c10::Error.
using KernelRecorder = std::function<std::unique_ptr<RecordedKernels>(const std::function<void()>& kernels)>;

}  // namespace tessera
