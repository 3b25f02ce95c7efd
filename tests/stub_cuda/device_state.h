#pragma once

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

// The state of the stub devices, and the rules that a device would enforce.
namespace stub {

// Set by the environment (cuda_runtime.cpp).
extern const int device_count;
extern const long questions;
extern const std::size_t device_bytes;

/// What a device can run at the same time: kernels, and a copy in each direction.
enum class Engine { kernels, up, down };
/// Work of a device, and its duration.
struct Work {
  Engine engine = Engine::kernels;
  double seconds = 0;
};
Work kernel_work(const std::string& name);
Work copy_work(const void* to, const void* from, std::size_t size);

/// A recording in progress.
struct Capture {
  cudaStreamCaptureMode mode;
  unsigned long long id;
  long kernels = 0;
  double seconds = 0;
  bool ended = false;
};
struct Graph {
  long kernels = 0;
  double seconds = 0;
};
struct Stream {
  int device = 0;
  std::shared_ptr<Capture> capture = {};
  double done_s = 0;  ///< when all its work has ended
};
struct Event {
  int device = 0;
  std::shared_ptr<Capture> captured = {};
  long questions = 0;  ///< to be answered with "not ready"
  double done_s = 0;
};
struct Memory {
  std::size_t size = 0;
  int device = -1;  ///< -1: of the host, pinned
};

/// The state of a host thread.
struct Thread {
  int device = 0;
  cudaError_t error = cudaSuccess;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::vector<std::shared_ptr<Capture>> recording;  ///< started by this thread
  std::map<std::string, long> calls;
  bool first = getpid() == gettid();
};
Thread& self();

extern std::recursive_mutex guard;     ///< protects all state
extern std::vector<std::size_t> used;  ///< bytes, by device
extern std::atomic<bool> waiting_forbidden;
extern std::atomic<int> forbidden_device;
extern std::atomic<long> mistakes, launches;
/// Names of kernels by the host's functions.
std::unordered_map<const void*, const char*>& kernels();

/// Prints a mistake with a stack trace.
void mistake(const std::string& what);
/// Keeps an error for cudaGetLastError.
cudaError_t done(cudaError_t error);
void count(const char* call);
/// A call that is forbidden during a recording, unless the thread is in relaxed mode.
void unsafe(const char* call);
/// A call that waits for the device, or for the driver.
void waits(const char* call);
/// Whether a copy may wait, because host memory is not pinned.
bool may_wait(const char* call, const void* to, const void* from);
Stream* stream_of(cudaStream_t handle);
/// Starts work on a stream. It becomes part of a recording, or runs after the stream's and the engine's
/// earlier work.
void starts(const char* what, cudaStream_t handle, const Work& work);
/// The clock of the devices.
double now_s();
void sleep_until(double s);
/// When all work of a device has ended.
double device_done_s(int device);

/// The allocation at an address; null if none.
const Memory* memory_at(const void* address);
bool on_device(const Memory* found);
cudaError_t allocate(void** address, std::size_t size, int device);
cudaError_t release(void* address);
/// Copies. What is read from a device is bytes of value 1.
void copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind);

}  // namespace stub
