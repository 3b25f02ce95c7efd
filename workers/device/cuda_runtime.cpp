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
  // CUDA's runtime by its documented C interface. LibTorch has loaded it if it was built with CUDA.
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

/// LibTorch 2.1 and later: CUDA calls of other threads do not end the recording.
void begin(at::cuda::CUDAGraph& recorded, const at::cuda::MempoolId_t& pool) {
  // The random generator shares tensors between recordings. A training writes to them outside InferenceMode.
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

/// Ends a recording that has failed. Its own exception gives the reason.
void break_off(at::cuda::CUDAGraph& graph, [[maybe_unused]] const at::Device& device,
               [[maybe_unused]] const at::cuda::MempoolId_t& pool) {
  try {
    graph.capture_end();
    return;
  } catch (...) {
  }
#ifdef TESSERA_CUDA_POOLS
  try {
    // Otherwise LibTorch assumes that the recording continues, and never frees cached memory.
    c10::cuda::CUDACachingAllocator::endAllocateToPool(device.index(), pool);
  } catch (...) {  // capture_end() has done this already
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
    kernels();  // libraries choose and load their algorithms at the first use
    kernels();
    torch::cuda::synchronize(device.index());
    // A recording has a memory pool of its own. LibTorch frees no cached memory for it while recording.
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
