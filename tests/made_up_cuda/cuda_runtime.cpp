// A CUDA runtime without a device: kernels do nothing, and what is copied back is bytes of 1: true, whole
// numbers, tiny finite floats. It knows the rules that a device would enforce, and prints a mistake with its
// place:
// - a kernel or event on a stream of another device than the thread's current one, or with an impossible
// grid;
// - a copy whose ends are not where its kind says;
// - while a stream is recorded (captured): what waits, what takes memory, and what goes by another stream;
// - between made_up_cuda_forbid_waiting(true) and (false): what waits for the device.
// The host cannot read or write a device's memory: it is not there.
//
// MADE_UP_CUDA_DEVICES    how many there are (1)
// MADE_UP_CUDA_GIB        memory of each (80)
// MADE_UP_CUDA_SLOW       so often an event is not there yet when it is asked for (0)
// MADE_UP_CUDA_COUNTS=1   counts of all calls, by thread, at the end
// MADE_UP_CUDA_ABORT=1    the first mistake aborts
#include <cuda_runtime_api.h>
#include <execinfo.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "made_up_cuda.h"

namespace {

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atol(text) : otherwise;
}

const int device_count = static_cast<int>(setting("MADE_UP_CUDA_DEVICES", 1));
const long questions = setting("MADE_UP_CUDA_SLOW", 0);
const std::size_t device_bytes = static_cast<std::size_t>(setting("MADE_UP_CUDA_GIB", 80)) << 30;

/// A recording in progress.
struct Capture {
  cudaStreamCaptureMode mode;
  unsigned long long id;
  long kernels = 0;
  bool ended = false;
};
struct Graph {
  long kernels = 0;
};
struct Stream {
  int device = 0;
  std::shared_ptr<Capture> capture;
};
struct Event {
  int device = 0;
  std::shared_ptr<Capture> captured;
  long questions = 0;  ///< that are to be answered with "not yet"
};
struct Memory {
  std::size_t size = 0;
  int device = -1;  ///< -1: of the host, pinned
};

std::recursive_mutex guard;
std::map<std::uintptr_t, Memory> memory;  ///< by its first byte
std::vector<std::size_t> used(64, 0);     ///< bytes, by device
std::unordered_map<const void*, const char*>& kernels() {
  static auto* names = new std::unordered_map<const void*, const char*>;
  return *names;
}
std::atomic<bool> waiting_forbidden{false};
std::atomic<int> forbidden_device{-1};
std::atomic<long> mistakes{0}, launches{0};

/// What a thread has done and where it is.
struct Thread {
  int device = 0;
  cudaError_t error = cudaSuccess;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::vector<std::shared_ptr<Capture>> recording;  ///< begun by this thread
  std::map<std::string, long> calls;
  bool first = getpid() == gettid();
};
std::list<Thread>& threads() {
  static auto* all = new std::list<Thread>;
  return *all;
}
Thread& self() {
  thread_local Thread* mine = [] {
    const std::lock_guard lock(guard);
    return &threads().emplace_back();
  }();
  return *mine;
}

void mistake(const std::string& what) {
  const std::lock_guard lock(guard);
  ++mistakes;
  std::fprintf(stderr, "made-up CUDA: MISTAKE: %s\n", what.c_str());
  void* frames[48];
  backtrace_symbols_fd(frames, backtrace(frames, 48), 2);
  if (std::getenv("MADE_UP_CUDA_ABORT") != nullptr) std::abort();
}

cudaError_t done(cudaError_t error) {
  if (error != cudaSuccess) self().error = error;
  return error;
}

void count(const char* call) {
  Thread& thread = self();
  const std::lock_guard lock(guard);
  ++thread.calls[call];
}

/// Whether this thread records, or another one with a say over all threads.
bool is_recording() {
  const std::lock_guard lock(guard);
  for (const Thread& thread : threads()) {
    for (const auto& capture : thread.recording) {
      if (&thread == &self() || capture->mode == cudaStreamCaptureModeGlobal) return true;
    }
  }
  return false;
}

/// A call that may not come while something is recorded, unless the thread has said that it knows (relaxed).
void unsafe(const char* call) {
  count(call);
  if (self().mode != cudaStreamCaptureModeRelaxed && is_recording())
    mistake(std::string(call) + " while kernels are recorded");
}

/// A call that waits for the device, or for the driver.
void waits(const char* call) {
  unsafe(call);
  if (waiting_forbidden) mistake(std::string(call) + " where nothing may wait");
}

Stream* stream_of(cudaStream_t handle) {
  thread_local Stream legacy;
  if (reinterpret_cast<std::uintptr_t>(handle) > 2) {
    const auto stream = reinterpret_cast<Stream*>(handle);
    if (stream->capture && stream->capture->ended) stream->capture.reset();  // it had joined in
    return stream;
  }
  legacy.device = self().device;  // every device has its own
  return &legacy;
}

/// What is started on a stream: belongs to a recording or runs at once.
void starts(const char* what, cudaStream_t handle) {
  Stream& stream = *stream_of(handle);
  if (stream.device != self().device) {
    mistake(std::string(what) + " on a stream of device " + std::to_string(stream.device) + ", current is " +
            std::to_string(self().device));
  }
  const std::lock_guard lock(guard);
  if (stream.capture) {
    ++stream.capture->kernels;
  } else {
    ++launches;
    if (!self().recording.empty()) mistake(std::string(what) + " beside what this thread records");
  }
}

const Memory* memory_at(const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  auto found = memory.upper_bound(at);
  if (found == memory.begin()) return nullptr;
  --found;
  return at < found->first + found->second.size ? &found->second : nullptr;
}
bool on_device(const Memory* found) {
  return found != nullptr && found->device >= 0;
}

cudaError_t allocate(void** address, std::size_t size, int device) {
  const std::lock_guard lock(guard);
  *address = nullptr;
  if (size == 0) return cudaSuccess;
  size = (size + 4095) / 4096 * 4096;
  if (device >= 0) {
    if (used[static_cast<std::size_t>(device)] + size > device_bytes) return done(cudaErrorMemoryAllocation);
    used[static_cast<std::size_t>(device)] += size;
  }
  // What the host reads or writes in a device's memory is a segmentation fault.
  const int access = device >= 0 ? PROT_NONE : PROT_READ | PROT_WRITE;
  *address = mmap(nullptr, size, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  memory[reinterpret_cast<std::uintptr_t>(*address)] = {size, device};
  return cudaSuccess;
}

cudaError_t release(void* address) {
  if (address == nullptr) return cudaSuccess;
  const std::lock_guard lock(guard);
  const auto found = memory.find(reinterpret_cast<std::uintptr_t>(address));
  if (found == memory.end()) {
    mistake("memory is freed that is not there");
    return done(cudaErrorInvalidValue);
  }
  if (found->second.device >= 0) used[static_cast<std::size_t>(found->second.device)] -= found->second.size;
  munmap(address, found->second.size);
  memory.erase(found);
  return cudaSuccess;
}

/// All that comes back from a device is bytes of 1.
void copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  const std::lock_guard lock(guard);
  const bool to_device = on_device(memory_at(to)), from_device = on_device(memory_at(from));
  if ((kind == cudaMemcpyHostToDevice && (!to_device || from_device)) ||
      (kind == cudaMemcpyDeviceToHost && (to_device || !from_device)) ||
      (kind == cudaMemcpyDeviceToDevice && !(to_device && from_device)))
    mistake("a copy's ends are not where its kind says");
  if (from_device && !to_device) std::memset(to, 1, size);
  if (!from_device && !to_device) std::memmove(to, from, size);
}

/// Copies to or from memory that is not pinned may wait.
void may_wait(const char* call, const void* to, const void* from) {
  bool pageable = false;
  {
    const std::lock_guard lock(guard);
    pageable = memory_at(to) == nullptr || memory_at(from) == nullptr;
  }
  if (!pageable) return;
  count("cudaMemcpyAsync of pageable memory");
  if (waiting_forbidden) mistake(std::string(call) + " of pageable memory where nothing may wait");
}

struct Report {
  ~Report() {
    if (std::getenv("MADE_UP_CUDA_COUNTS") != nullptr && !threads().empty()) {
      const std::lock_guard lock(guard);
      int number = 0;
      for (const Thread& thread : threads()) {
        std::fprintf(stderr, "made-up CUDA: process %d, %s %d, device %d:\n", getpid(),
                     thread.first ? "first thread" : "thread", number++, thread.device);
        for (const auto& [call, times] : thread.calls)
          std::fprintf(stderr, "made-up CUDA: %10ld %s\n", times, call.c_str());
      }
      for (int i = 0; i < device_count; ++i)
        std::fprintf(stderr, "made-up CUDA: device %d: %zu MiB in use at the end\n", i,
                     used[static_cast<std::size_t>(i)] >> 20);
    }
    if (mistakes > 0)
      std::fprintf(stderr, "made-up CUDA: %ld MISTAKES in process %d\n", mistakes.load(), getpid());
  }
} report;

}  // namespace

extern "C" {

void made_up_cuda_forbid_waiting(bool forbidden) {
  waiting_forbidden = forbidden;
}
long made_up_cuda_mistakes() {
  return mistakes;
}
long made_up_cuda_launches() {
  return launches;
}
void made_up_cuda_forbid_device(int device) {
  forbidden_device = device;
}
void made_up_cuda_launch(const char* name, void* stream) {
  count(name);
  starts(name, static_cast<cudaStream_t>(stream));
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
  std::snprintf(p->name, sizeof p->name, "made-up H100 %d", device);
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
  if (address != nullptr) waits("cudaFree");
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
  copy(to, from, size, kind);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  count("cudaMemcpyAsync");
  may_wait("cudaMemcpyAsync", to, from);
  starts("cudaMemcpyAsync", stream);
  copy(to, from, size, kind);
  return cudaSuccess;
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size, cudaStream_t stream) {
  count("cudaMemcpyPeerAsync");
  starts("cudaMemcpyPeerAsync", stream);
  copy(to, from, size, cudaMemcpyDeviceToDevice);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int, size_t size) {
  waits("cudaMemset");
  copy(to, to, size, cudaMemcpyDeviceToDevice);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int, size_t size, cudaStream_t stream) {
  count("cudaMemsetAsync");
  starts("cudaMemsetAsync", stream);
  copy(to, to, size, cudaMemcpyDeviceToDevice);
  return cudaSuccess;
}

// Streams and events.
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  count("cudaStreamCreate");
  *stream = reinterpret_cast<cudaStream_t>(new Stream{self().device, nullptr});
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
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  count("cudaStreamQuery");
  if (stream_of(stream)->capture) mistake("cudaStreamQuery of a stream that is recorded");
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  count("cudaEventCreate");
  *event = reinterpret_cast<cudaEvent_t>(new Event{self().device, nullptr, 0});
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
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  unsafe("cudaEventQuery");
  Event& event = *reinterpret_cast<Event*>(handle);
  if (event.captured) mistake("cudaEventQuery of an event that is recorded");
  return event.questions-- > 0 ? done(cudaErrorNotReady) : cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  waits("cudaEventSynchronize");
  if (reinterpret_cast<Event*>(event)->captured) mistake("cudaEventSynchronize of an event that is recorded");
  reinterpret_cast<Event*>(event)->questions = 0;
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
  *graph = reinterpret_cast<cudaGraph_t>(new Graph{stream.capture->kernels});
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
  starts("cudaGraphLaunch", stream);
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
  starts(name.c_str(), stream);
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
