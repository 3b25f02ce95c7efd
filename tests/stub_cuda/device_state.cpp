#include "device_state.h"

#include <execinfo.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <thread>

namespace stub {
namespace {

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atol(text) : otherwise;
}

const double kernel_s = 1e-6 * static_cast<double>(setting("STUB_CUDA_KERNEL_US", 0));
const double convolution_s = 1e-6 * static_cast<double>(setting("STUB_CUDA_CONVOLUTION_US", 0));
const double copied_bytes_per_s = 1e9 * static_cast<double>(setting("STUB_CUDA_COPY_GB_PER_S", 0));

std::map<std::uintptr_t, Memory> memory;               ///< by its first byte
std::vector<std::array<double, 3>> engine_done_s(64);  ///< by device and engine

std::list<Thread>& threads() {
  static auto* all = new std::list<Thread>;
  return *all;
}

/// Whether this thread captures, or another one in global mode.
bool is_recording() {
  const std::lock_guard lock(guard);
  for (const Thread& thread : threads()) {
    for (const auto& capture : thread.recording) {
      if (&thread == &self() || capture->mode == cudaStreamCaptureModeGlobal) return true;
    }
  }
  return false;
}

}  // namespace

const int device_count = static_cast<int>(setting("STUB_CUDA_DEVICES", 1));
const long questions = setting("STUB_CUDA_SLOW", 0);
const std::size_t device_bytes = static_cast<std::size_t>(setting("STUB_CUDA_GIB", 80)) << 30;

std::recursive_mutex guard;
std::vector<std::size_t> used(64, 0);
std::unordered_map<const void*, const char*>& kernels() {
  static auto* names = new std::unordered_map<const void*, const char*>;
  return *names;
}
std::atomic<bool> waiting_forbidden{false};
std::atomic<int> forbidden_device{-1};
std::atomic<long> mistakes{0}, launches{0};

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
  std::fprintf(stderr, "stub CUDA: MISTAKE: %s\n", what.c_str());
  void* frames[48];
  backtrace_symbols_fd(frames, backtrace(frames, 48), 2);
  if (std::getenv("STUB_CUDA_ABORT") != nullptr) std::abort();
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

void unsafe(const char* call) {
  count(call);
  if (self().mode != cudaStreamCaptureModeRelaxed && is_recording())
    mistake(std::string(call) + " while kernels are recorded");
}

void waits(const char* call) {
  unsafe(call);
  if (waiting_forbidden) mistake(std::string(call) + " where nothing may wait");
}

Stream* stream_of(cudaStream_t handle) {
  thread_local Stream legacy;
  if (reinterpret_cast<std::uintptr_t>(handle) > 2) {
    const auto stream = reinterpret_cast<Stream*>(handle);
    if (stream->capture && stream->capture->ended) stream->capture.reset();  // it had joined the capture
    return stream;
  }
  legacy.device = self().device;  // every device has its own legacy stream
  return &legacy;
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
void sleep_until(double s) {
  const double left_s = s - now_s();
  if (left_s > 0) std::this_thread::sleep_for(std::chrono::duration<double>(left_s));
}
double device_done_s(int device) {
  const std::lock_guard lock(guard);
  return std::ranges::max(engine_done_s[static_cast<std::size_t>(device)]);
}

Work kernel_work(const std::string& name) {
  return {Engine::kernels, name == "cudnnBackendExecute" ? convolution_s : kernel_s};
}
Work copy_work(const void* to, const void* from, std::size_t size) {
  const std::lock_guard lock(guard);
  const bool to_device = on_device(memory_at(to)), from_device = on_device(memory_at(from));
  if (to_device && from_device) return {Engine::kernels, kernel_s};
  return {to_device ? Engine::up : Engine::down,
          copied_bytes_per_s > 0 ? static_cast<double>(size) / copied_bytes_per_s : 0};
}

void starts(const char* what, cudaStream_t handle, const Work& work) {
  Stream& stream = *stream_of(handle);
  if (stream.device != self().device) {
    mistake(std::string(what) + " on a stream of device " + std::to_string(stream.device) + ", current is " +
            std::to_string(self().device));
  }
  const std::lock_guard lock(guard);
  if (stream.capture) {
    ++stream.capture->kernels;
    stream.capture->seconds += work.seconds;
  } else {
    ++launches;
    double& engine_s =
        engine_done_s[static_cast<std::size_t>(stream.device)][static_cast<std::size_t>(work.engine)];
    stream.done_s = engine_s = std::max({now_s(), stream.done_s, engine_s}) + work.seconds;
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
  // Host access to device memory is a segmentation fault.
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

bool may_wait(const char* call, const void* to, const void* from) {
  bool pageable = false;
  {
    const std::lock_guard lock(guard);
    pageable = memory_at(to) == nullptr || memory_at(from) == nullptr;
  }
  if (!pageable) return false;
  count("cudaMemcpyAsync of pageable memory");
  if (waiting_forbidden) mistake(std::string(call) + " of pageable memory where nothing may wait");
  return true;
}

namespace {

struct Report {
  ~Report() {
    if (std::getenv("STUB_CUDA_COUNTS") != nullptr && !threads().empty()) {
      const std::lock_guard lock(guard);
      int number = 0;
      for (const Thread& thread : threads()) {
        std::fprintf(stderr, "stub CUDA: process %d, %s %d, device %d:\n", getpid(),
                     thread.first ? "first thread" : "thread", number++, thread.device);
        for (const auto& [call, times] : thread.calls)
          std::fprintf(stderr, "stub CUDA: %10ld %s\n", times, call.c_str());
      }
      for (int i = 0; i < device_count; ++i)
        std::fprintf(stderr, "stub CUDA: device %d: %zu MiB in use at the end\n", i,
                     used[static_cast<std::size_t>(i)] >> 20);
    }
    if (mistakes > 0)
      std::fprintf(stderr, "stub CUDA: %ld MISTAKES in process %d\n", mistakes.load(), getpid());
  }
} report;

}  // namespace
}  // namespace stub
