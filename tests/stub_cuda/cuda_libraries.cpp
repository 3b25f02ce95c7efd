// The functions of cuDNN, cuBLAS, NCCL, NVRTC and the driver whose results LibTorch or Tessera uses. Handles
// are not null; kernels are started on the given stream and do nothing. All other functions return 0
// (success). Each library is built from its own part of this file.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "stub_cuda.h"

namespace {

struct Handle {
  void* stream = nullptr;
  char rest[1024] = {};
};

[[maybe_unused]] int make(void** made) {
  *made = new Handle();
  return 0;
}

}  // namespace

#define MAKES(name)       \
  int name(void** made) { \
    return make(made);    \
  }
#define STREAM(name)                               \
  int name(void* handle, void* stream) {           \
    static_cast<Handle*>(handle)->stream = stream; \
    return 0;                                      \
  }
#define LAUNCHES(name)                                             \
  int name(void* handle) {                                         \
    stub_cuda_launch(#name, static_cast<Handle*>(handle)->stream); \
    return 0;                                                      \
  }

extern "C" {

#ifdef STUB_cudnn
MAKES(cudnnCreate)
STREAM(cudnnSetStream)
int cudnnGetStream(void* handle, void** stream) {
  *stream = static_cast<Handle*>(handle)->stream;
  return 0;
}
std::size_t cudnnGetVersion() {
  return 90000;
}
int cudnnGetProperty(int which, int* value) {
  *value = which == 0 ? 9 : 0;
  return 0;
}
std::size_t cudnnGetCudartVersion() {
  return 12040;
}
const char* cudnnGetErrorString(int) {
  return "an error";
}
MAKES(cudnnCreateTensorDescriptor)
MAKES(cudnnCreateFilterDescriptor)
MAKES(cudnnCreateConvolutionDescriptor)
MAKES(cudnnCreateActivationDescriptor)
LAUNCHES(cudnnBatchNormalizationForwardTrainingEx)
LAUNCHES(cudnnBatchNormalizationForwardInference)
LAUNCHES(cudnnBatchNormalizationBackwardEx)
int cudnnBackendCreateDescriptor(int, void** made) {
  return make(made);
}
/// One engine, one plan, no notes, a workspace of 1 MiB.
int cudnnBackendGetAttribute(void*, int, int type, std::int64_t wanted, std::int64_t* count, void* values) {
  constexpr int kInt64 = 3, kNumericalNote = 11, kDescriptor = 15, kBehaviourNote = 19;
  const bool notes = type == kNumericalNote || type == kBehaviourNote;
  if (count != nullptr) *count = notes ? 0 : 1;
  if (values == nullptr || wanted < 1 || notes || type == kDescriptor) return 0;
  if (type == kInt64) {
    *static_cast<std::int64_t*>(values) = std::int64_t{1} << 20;
  } else {
    std::memset(values, 0, 4);
  }
  return 0;
}
LAUNCHES(cudnnBackendExecute)
int cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(void*, int, int, void*, void*, void*, void*,
                                                             void*, std::size_t* size) {
  *size = 1024;
  return 0;
}
int cudnnGetBatchNormalizationBackwardExWorkspaceSize(void*, int, int, void*, void*, void*, void*, void*,
                                                      void*, void*, std::size_t* size) {
  *size = 1024;
  return 0;
}
int cudnnGetBatchNormalizationTrainingExReserveSpaceSize(void*, int, int, void*, void*, std::size_t* size) {
  *size = 1024;
  return 0;
}
#endif

#ifdef STUB_cublas
MAKES(cublasCreate_v2)
STREAM(cublasSetStream_v2)
int cublasGetMathMode(void*, int* mode) {
  *mode = 0;
  return 0;
}
int cublasGetPointerMode_v2(void*, int* mode) {
  *mode = 0;
  return 0;
}
LAUNCHES(cublasSgemm_v2)
LAUNCHES(cublasDgemm_v2)
LAUNCHES(cublasSgemmStridedBatched)
LAUNCHES(cublasDgemmStridedBatched)
LAUNCHES(cublasGemmEx)
LAUNCHES(cublasGemmStridedBatchedEx)
LAUNCHES(cublasSgemv_v2)
LAUNCHES(cublasDgemv_v2)
LAUNCHES(cublasSdot_v2)
LAUNCHES(cublasDdot_v2)
#endif

#ifdef STUB_cublaslt
MAKES(cublasLtMatmulPreferenceCreate)
int cublasLtMatmulDescCreate(void** made, int, int) {
  return make(made);
}
int cublasLtMatrixLayoutCreate(void** made, int, std::uint64_t, std::uint64_t, std::int64_t) {
  return make(made);
}
/// One algorithm, which needs no workspace.
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, void*, int* found) {
  *found = 1;
  return 0;
}
int cublasLtMatmul(void*, void*, const void*, const void*, void*, const void*, void*, const void*,
                   const void*, void*, void*, void*, const void*, void*, std::size_t, void* stream) {
  stub_cuda_launch("cublasLtMatmul", stream);
  return 0;
}
#endif

#ifdef STUB_nvrtc
int nvrtcVersion(int* major, int* minor) {
  *major = 12;
  *minor = 4;
  return 0;
}
int nvrtcCreateProgram(void** made, const char*, const char*, int, const char* const*, const char* const*) {
  return make(made);
}
int nvrtcDestroyProgram(void** made) {
  delete static_cast<Handle*>(*made);
  return 0;
}
int nvrtcCompileProgram(void*, int, const char* const*) {
  return 0;
}
int nvrtcGetProgramLogSize(void*, std::size_t* size) {
  *size = 0;
  return 0;
}
int nvrtcGetProgramLog(void*, char*) {
  return 0;
}
int nvrtcGetCUBINSize(void*, std::size_t* size) {
  *size = 1;
  return 0;
}
int nvrtcGetCUBIN(void*, char* code) {
  *code = 'x';
  return 0;
}
#endif

#ifdef STUB_nccl
/// Sums over the workers do nothing: each worker keeps its values.
int ncclGetUniqueId(void* id) {
  std::memset(id, 1, 128);
  return 0;
}
struct UniqueId {
  char bytes[128];
};
int ncclCommInitRank(void** made, int, UniqueId, int) {
  return make(made);
}
int ncclAllReduce(const void*, void*, std::size_t, int, int, void*, void* stream) {
  stub_cuda_launch("ncclAllReduce", stream);
  return 0;
}
const char* ncclGetErrorString(int) {
  return "an error";
}
#endif

#ifdef STUB_cuda
int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) {
  *flags = 0, *active = 1;
  return 0;
}
int cuCtxGetCurrent(void** context) {
  static int made;
  *context = &made;
  return 0;
}
int cudaGetDevice(int* device);
int cuCtxGetDevice(int* device) {
  return cudaGetDevice(device);
}
int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}
int cuDeviceGetName(char* name, int size, int) {
  std::snprintf(name, static_cast<std::size_t>(size), "stub H100");
  return 0;
}
/// As an H100: its multiprocessors and compute capability 9.0.
int cuDeviceGetAttribute(int* value, int attribute, int) {
  *value = attribute == 16 ? 132 : attribute == 75 ? 9 : 0;
  return 0;
}
int cuModuleLoadData(void** made, const void*) {
  return make(made);
}
/// The name of a function is that of its launches.
int cuModuleGetFunction(void** made, void*, const char* name) {
  make(made);
  std::strncpy(static_cast<Handle*>(*made)->rest, name, sizeof Handle::rest - 1);
  return 0;
}
int cuFuncSetAttribute(void*, int, int) {
  return 0;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void*, int, std::size_t) {
  *blocks = 2;
  return 0;
}
int cuLaunchKernel(void* function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                   void* stream, void**, void**) {
  stub_cuda_launch(static_cast<Handle*>(function)->rest, stream);
  return 0;
}
int cuGetErrorString(int, const char** text) {
  *text = "an error";
  return 0;
}
#endif
}
