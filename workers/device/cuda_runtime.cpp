#include "workers/device/cuda_runtime.h"

#include <dlfcn.h>

#include <array>
#include <cstddef>

#include "workers/device/nvrtc.h"

#ifdef TESSERA_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>
#include <torch/cuda.h>
#endif

namespace tessera {

std::int64_t cuda_memory() {
  // CUDA's runtime, by its documented C interface, which LibTorch has loaded where it has CUDA.
  using MemGetInfo = int (*)(std::size_t*, std::size_t*);
  const auto get = reinterpret_cast<MemGetInfo>(dlsym(RTLD_DEFAULT, "cudaMemGetInfo"));
  std::size_t free = 0, total = 0;
  return get != nullptr && get(&free, &total) == 0 ? static_cast<std::int64_t>(total) : 0;
}

std::string cuda_name(int index) {
  void* const driver = loaded_library({"libcuda.so.1"});
  if (driver == nullptr) return {};
  const auto get = reinterpret_cast<int (*)(int*, int)>(dlsym(driver, "cuDeviceGet"));
  const auto get_name = reinterpret_cast<int (*)(char*, int, int)>(dlsym(driver, "cuDeviceGetName"));
  std::array<char, 128> name{};
  int device = 0;
  if (get == nullptr || get_name == nullptr || get(&device, index) != 0) return {};
  return get_name(name.data(), static_cast<int>(name.size()) - 1, device) == 0 ? name.data() : "";
}

#ifdef TESSERA_CUDA

namespace {

/// What other threads do with CUDA meanwhile is not to break the recording off, where LibTorch (2.1 and
/// later) can be told.
void begin(at::cuda::CUDAGraph& recorded, const at::cuda::MempoolId_t& pool) {
  // The random generator keeps tensors for all recordings, which a training writes to outside InferenceMode.
  const c10::InferenceMode normal(false);
  const auto capture = [&pool](auto& graph) {
    if constexpr (requires { graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal); }) {
      graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    } else {
      graph.capture_begin(pool);
    }
  };
  capture(recorded);
}

/// A recording has failed: why, its own exception says.
void break_off(at::cuda::CUDAGraph& graph, [[maybe_unused]] const at::Device& device,
               [[maybe_unused]] const at::cuda::MempoolId_t& pool) {
  try {
    graph.capture_end();
    return;
  } catch (...) {
  }
#ifdef TESSERA_CUDA_POOLS
  try {
    // Else LibTorch takes the recording to go on, and frees no memory that it keeps for later.
    c10::cuda::CUDACachingAllocator::endAllocateToPool(device.index(), pool);
  } catch (...) {  // capture_end() got that far
  }
#endif
}

class CudaGraph : public RecordedKernels {
 public:
  explicit CudaGraph(const std::function<void()>& kernels) {
    const c10::impl::VirtualGuardImpl guard(at::kCUDA);
    const at::Device device = guard.getDevice();
    torch::cuda::synchronize(device.index());
    // The default stream cannot be recorded.
    const c10::StreamGuard on(guard.getStreamFromGlobalPool(device));
    kernels();  // libraries choose their algorithms, and load them, at the first use
    kernels();
    torch::cuda::synchronize(device.index());
    // What is recorded has memory of its own, and LibTorch gives none back for it meanwhile.
    c10::cuda::CUDACachingAllocator::emptyCache();
    const at::cuda::MempoolId_t pool = at::cuda::graph_pool_handle();
    try {
      begin(graph_, pool);
      kernels();
      graph_.capture_end();
    } catch (...) {
      break_off(graph_, device, pool);
      throw;
    }
  }

  void replay() override { graph_.replay(); }

 private:
  at::cuda::CUDAGraph graph_;
};

}  // namespace

KernelRecorder cuda_recorder() {
  return [](const std::function<void()>& kernels) { return std::make_unique<CudaGraph>(kernels); };
}

#else

KernelRecorder cuda_recorder() {
  return {};
}

#endif

}  // namespace tessera
