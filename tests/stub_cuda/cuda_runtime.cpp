// A CUDA runtime without a device. Kernels do nothing. What is copied from a device is bytes of value 1:
// true, integers, tiny finite floats. It checks the rules that a device would enforce, and prints each
// mistake with its place:
// - a kernel or event on a stream of another device than the thread's current one, or with an impossible
// grid;
// - a copy whose addresses do not fit its kind;
// - while a stream is captured: what waits, what takes memory, and what uses another stream;
// - between stub_cuda_forbid_waiting(true) and (false): what waits for the device.
// The host cannot access device memory.
//
// STUB_CUDA_DEVICES    number of devices (1)
// STUB_CUDA_GIB        memory of each (80)
// STUB_CUDA_SLOW       how often an event answers "not ready" (0)
// STUB_CUDA_CONVOLUTION_US, _KERNEL_US, _COPY_GB_PER_S    time of a kernel of cuDNN's backend, time of any
//                         other kernel, and rate of copies between host and device. Waiting
//                         threads sleep (unset: no time)
// STUB_CUDA_COUNTS=1   counts of all calls, by thread, at the end
// STUB_CUDA_ABORT=1    the first mistake aborts
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "device_state.h"
#include "stub_cuda.h"

using namespace stub;

extern "C" {

void stub_cuda_forbid_waiting(bool forbidden) {
  waiting_forbidden = forbidden;
}
long stub_cuda_mistakes() {
  return mistakes;
}
long stub_cuda_launches() {
  return launches;
}
void stub_cuda_forbid_device(int device) {
  forbidden_device = device;
}
void stub_cuda_launch(const char* name, void* stream) {
  count(name);
  starts(name, static_cast<cudaStream_t>(stream), kernel_work(name));
}

// The compiler's part.
void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, void*, void*, void*,
                            void*, int*) {
  kernels()[host] = name;
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
static thread_local std::vector<Configuration> configurations;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const Configuration last = configurations.back();
  configurations.pop_back();
  *grid = last.grid, *block = last.block, *shared = last.shared;
  *static_cast<cudaStream_t*>(stream) = last.stream;
  return cudaSuccess;
}

// Devices.
cudaError_t cudaGetDeviceCount(int* found) {
  *found = device_count;
  return device_count > 0 ? cudaSuccess : done(cudaErrorNoDevice);
}
cudaError_t cudaGetDevice(int* device) {
  *device = self().device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= device_count) return done(cudaErrorInvalidDevice);
  self().device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  static const std::map<int, int> known{{cudaDevAttrMaxThreadsPerBlock, 1024},
                                        {cudaDevAttrMaxBlockDimX, 1024},
                                        {cudaDevAttrMaxBlockDimY, 1024},
                                        {cudaDevAttrMaxBlockDimZ, 64},
                                        {cudaDevAttrMaxGridDimX, 2147483647},
                                        {cudaDevAttrMaxGridDimY, 65535},
                                        {cudaDevAttrMaxGridDimZ, 65535},
                                        {cudaDevAttrMaxSharedMemoryPerBlock, 49152},
                                        {cudaDevAttrWarpSize, 32},
                                        {cudaDevAttrMultiProcessorCount, 132},
                                        {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
                                        {cudaDevAttrComputeCapabilityMajor, 9},
                                        {cudaDevAttrComputeCapabilityMinor, 0},
                                        {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 233472},
                                        {cudaDevAttrMaxSharedMemoryPerBlockOptin, 232448}};
  const auto found = known.find(attribute);
  *value = found != known.end() ? found->second : 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties_v2(cudaDeviceProp* p, int device) {
  *p = {};
  std::snprintf(p->name, sizeof p->name, "stub H100 %d", device);
  p->totalGlobalMem = device_bytes;
  p->major = 9, p->minor = 0;
  p->multiProcessorCount = 132, p->maxThreadsPerMultiProcessor = 2048, p->maxThreadsPerBlock = 1024,
  p->warpSize = 32;
  p->maxBlocksPerMultiProcessor = 32, p->regsPerBlock = 65536, p->regsPerMultiprocessor = 65536;
  p->sharedMemPerBlock = 49152, p->sharedMemPerBlockOptin = 232448, p->sharedMemPerMultiprocessor = 233472;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 2147483647, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->totalConstMem = 65536, p->textureAlignment = 512, p->l2CacheSize = 50 << 20, p->clockRate = 1980000;
  p->memoryClockRate = 2619000, p->memoryBusWidth = 5120, p->unifiedAddressing = 1, p->concurrentKernels = 1,
  p->asyncEngineCount = 3;
  p->cooperativeLaunch = 1, p->streamPrioritiesSupported = 1;
  return cudaSuccess;
}
cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  std::snprintf(id, static_cast<std::size_t>(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0, *greatest = -5;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 12040;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return cudaDriverGetVersion(version);
}
cudaError_t cudaDeviceSynchronize() {
  waits("cudaDeviceSynchronize");
  sleep_until(device_done_s(self().device));
  return cudaSuccess;
}

// Errors.
cudaError_t cudaGetLastError() {
  return std::exchange(self().error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  return self().error;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory"
         : error == cudaErrorNoDevice       ? "no CUDA-capable device is detected"
                                            : "an error";
}
const char* cudaGetErrorName(cudaError_t error) {
  return cudaGetErrorString(error);
}

// Memory.
cudaError_t cudaMalloc(void** address, size_t size) {
  waits("cudaMalloc");
  if (self().device == forbidden_device)
    mistake("memory of device " + std::to_string(forbidden_device) + " is taken");
  return allocate(address, size, self().device);
}
cudaError_t cudaFree(void* address) {
  if (address != nullptr) {
    waits("cudaFree");
    sleep_until(device_done_s(self().device));
  }
  return release(address);
}
cudaError_t cudaHostAlloc(void** address, size_t size, unsigned) {
  waits("cudaHostAlloc");
  return allocate(address, size, -1);
}
cudaError_t cudaFreeHost(void* address) {
  waits("cudaFreeHost");
  return release(address);
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  count("cudaMemGetInfo");
  const std::lock_guard lock(guard);
  *total = device_bytes;
  *free = device_bytes - used[static_cast<std::size_t>(self().device)];
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
  const std::lock_guard lock(guard);
  const Memory* found = memory_at(address);
  *attributes = {};
  attributes->type = found == nullptr   ? cudaMemoryTypeUnregistered
                     : on_device(found) ? cudaMemoryTypeDevice
                                        : cudaMemoryTypeHost;
  attributes->device = on_device(found) ? found->device : 0;
  attributes->hostPointer = on_device(found) ? nullptr : const_cast<void*>(address);
  attributes->devicePointer = found != nullptr ? const_cast<void*>(address) : nullptr;
  return cudaSuccess;
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  waits("cudaMemcpy");
  sleep_until(device_done_s(self().device));
  copy(to, from, size, kind);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  count("cudaMemcpyAsync");
  const bool pageable = may_wait("cudaMemcpyAsync", to, from);
  starts("cudaMemcpyAsync", stream, copy_work(to, from, size));
  if (pageable && !stream_of(stream)->capture) sleep_until(stream_of(stream)->done_s);
  copy(to, from, size, kind);
  return cudaSuccess;
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, cudaStream_t stream) {
  count("cudaMemcpyPeerAsync");
  starts("cudaMemcpyPeerAsync", stream, copy_work(to, from, size));
  copy(to, from, size, cudaMemcpyDeviceToDevice);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int, size_t size) {
  waits("cudaMemset");
  sleep_until(device_done_s(self().device));
  copy(to, to, size, cudaMemcpyDeviceToDevice);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int, size_t size, cudaStream_t stream) {
  count("cudaMemsetAsync");
  starts("cudaMemsetAsync", stream, kernel_work("memset"));
  copy(to, to, size, cudaMemcpyDeviceToDevice);
  return cudaSuccess;
}

// Streams and events.
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  count("cudaStreamCreate");
  *stream = reinterpret_cast<cudaStream_t>(new Stream{.device = self().device});
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete reinterpret_cast<Stream*>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  waits("cudaStreamSynchronize");
  if (stream_of(stream)->capture) return done(cudaErrorStreamCaptureUnsupported);
  sleep_until(stream_of(stream)->done_s);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  count("cudaStreamQuery");
  if (stream_of(stream)->capture) mistake("cudaStreamQuery of a stream that is recorded");
  return now_s() < stream_of(stream)->done_s ? done(cudaErrorNotReady) : cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  count("cudaEventCreate");
  *event = reinterpret_cast<cudaEvent_t>(new Event{.device = self().device});
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, 0);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<Event*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream) {
  count("cudaEventRecord");
  Event& event = *reinterpret_cast<Event*>(handle);
  if (event.device != stream_of(stream)->device) mistake("an event of one device on a stream of another");
  event.captured = stream_of(stream)->capture;
  event.questions = questions;
  event.done_s = stream_of(stream)->done_s;
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  unsafe("cudaEventQuery");
  Event& event = *reinterpret_cast<Event*>(handle);
  if (event.captured) mistake("cudaEventQuery of an event that is recorded");
  return event.questions-- > 0 || now_s() < event.done_s ? done(cudaErrorNotReady) : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  waits("cudaEventSynchronize");
  Event& event = *reinterpret_cast<Event*>(handle);
  if (event.captured) mistake("cudaEventSynchronize of an event that is recorded");
  event.questions = 0;
  sleep_until(event.done_s);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) {
  *ms = 1;
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  count("cudaStreamWaitEvent");
  Stream& stream = *stream_of(handle);
  const auto& captured = reinterpret_cast<Event*>(event)->captured;
  if (!captured) stream.done_s = std::max(stream.done_s, reinterpret_cast<Event*>(event)->done_s);
  if (stream.capture && !captured) mistake("a recorded stream waits for what is not recorded");
  if (captured && !stream.capture) stream.capture = captured;
  return cudaSuccess;
}

// Recording.
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, self().mode);
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  count("cudaStreamBeginCapture");
  static unsigned long long last = 0;
  Stream& stream = *stream_of(handle);
  if (reinterpret_cast<std::uintptr_t>(handle) <= 2) mistake("the default stream is recorded");
  const std::lock_guard lock(guard);
  stream.capture = std::make_shared<Capture>(Capture{mode, ++last});
  self().recording.push_back(stream.capture);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  Stream& stream = *stream_of(handle);
  const std::lock_guard lock(guard);
  if (!stream.capture) return done(cudaErrorIllegalState);
  *graph = reinterpret_cast<cudaGraph_t>(new Graph{stream.capture->kernels, stream.capture->seconds});
  std::erase(self().recording, stream.capture);
  stream.capture->ended = true;
  stream.capture.reset();
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = stream_of(stream)->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t stream, cudaStreamCaptureStatus* status,
                                        unsigned long long* id, cudaGraph_t*, const cudaGraphNode_t**,
                                        size_t*) {
  cudaStreamIsCapturing(stream, status);
  if (id != nullptr && stream_of(stream)->capture) *id = stream_of(stream)->capture->id;
  return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* nodes) {
  *nodes = static_cast<std::size_t>(reinterpret_cast<Graph*>(graph)->kernels);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  count("cudaGraphInstantiate");
  *made = reinterpret_cast<cudaGraphExec_t>(new Graph(*reinterpret_cast<Graph*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* made, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(made, graph, flags);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  count("cudaGraphLaunch");
  starts("cudaGraphLaunch", stream, {Engine::kernels, reinterpret_cast<Graph*>(graph)->seconds});
  launches += reinterpret_cast<Graph*>(graph)->kernels - 1;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete reinterpret_cast<Graph*>(graph);
  return cudaSuccess;
}

// Kernels.
cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void**, size_t shared,
                             cudaStream_t stream) {
  count("cudaLaunchKernel");
  const auto known = kernels().find(kernel);
  const std::string name = known != kernels().end() ? known->second : "an unknown kernel";
  const bool possible = grid.x > 0 && grid.y > 0 && grid.z > 0 && block.x > 0 && block.y > 0 && block.z > 0 &&
                        grid.x <= 2147483647U && grid.y <= 65535 && grid.z <= 65535 &&
                        block.x * block.y * block.z <= 1024 && shared <= 232448;
  if (!possible) {
    mistake("impossible grid for " + name);
    return done(cudaErrorInvalidConfiguration);
  }
  starts(name.c_str(), stream, kernel_work(name));
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel, void** arguments) {
  return cudaLaunchKernel(kernel, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes,
                          config->stream);
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024, attributes->numRegs = 32;
  attributes->ptxVersion = attributes->binaryVersion = 90;
  attributes->maxDynamicSharedSizeBytes = 49152;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void*, int, size_t,
                                                                   unsigned) {
  *blocks = 2;
  return cudaSuccess;
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, size_t) {
  *blocks = 2;
  return cudaSuccess;
}
}
