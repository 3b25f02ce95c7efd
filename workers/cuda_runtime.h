#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace tessera {

// What only CUDA has. Everything else that runs on a GPU goes by LibTorch's interfaces for any device, and is in every build.

/// Bytes of the current CUDA device's memory, free or not; 0 without CUDA.
std::int64_t cuda_memory();

/// Kernels that are recorded once and then started all together (a CUDA graph): starting them one by one costs the host some
/// microseconds each, which short kernels do not hide. What they read and write stays at its place: tensors that they
/// use must live as long, and keep their memory.
class CudaGraph {
 public:
  /// Whether this program was built with CUDA's headers, against a LibTorch with CUDA.
  static bool is_available();
  /// Records what `kernels` starts on the current CUDA device; it is called several times. It must not wait for the device,
  /// nor depend on what its kernels compute. Errors: c10::Error.
  explicit CudaGraph(const std::function<void()>& kernels);
  ~CudaGraph();
  /// Starts them on the current stream.
  void replay();

 private:
  struct Recording;
  std::unique_ptr<Recording> recording_;
};

}  // namespace tessera
