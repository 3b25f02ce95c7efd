#include "workers/cuda_runtime.h"

#ifdef TESSERA_CUDA
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#else
#include "io/error.h"
#endif

namespace tessera {

#ifdef TESSERA_CUDA

std::int64_t cuda_memory(int index) {
  return static_cast<std::int64_t>(at::cuda::getDeviceProperties(index)->totalGlobalMem);
}

struct CudaGraph::Recording {
  at::cuda::CUDAGraph graph;
};

bool CudaGraph::is_available() {
  return true;
}

CudaGraph::CudaGraph(const std::function<void()>& kernels) : recording_(std::make_unique<Recording>()) {
  const c10::cuda::CUDAStream before = c10::cuda::getCurrentCUDAStream();
  // The default stream cannot be recorded.
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  before.synchronize();
  const c10::cuda::CUDAStreamGuard on(stream);
  kernels();  // libraries choose their algorithms, and load them, at the first use
  kernels();
  stream.synchronize();
  recording_->graph.capture_begin();
  try {
    kernels();
  } catch (...) {
    recording_->graph.capture_end();
    throw;
  }
  recording_->graph.capture_end();
}

CudaGraph::~CudaGraph() = default;

void CudaGraph::replay() {
  recording_->graph.replay();
}

#else

std::int64_t cuda_memory(int) {
  return 0;
}

struct CudaGraph::Recording {};

bool CudaGraph::is_available() {
  return false;
}

CudaGraph::CudaGraph(const std::function<void()>&) {
  throw UsageError("this program was built against a LibTorch without CUDA");
}

CudaGraph::~CudaGraph() = default;

void CudaGraph::replay() {}

#endif

}  // namespace tessera
