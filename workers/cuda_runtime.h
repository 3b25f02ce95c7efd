#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace tessera {

// What LibTorch offers for no other device than CUDA; in a build against a LibTorch without CUDA it is absent.

/// Bytes of a CUDA device's memory, free or not; 0 without CUDA.
std::int64_t cuda_memory(int index);

/// Kernels that are recorded once and then started all together (a CUDA graph): starting them one by one costs the host some
/// microseconds each, which short kernels do not hide. What they read and write stays at its place: tensors that they
/// use must live as long, and keep their memory.
class CudaGraph {
 public:
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
