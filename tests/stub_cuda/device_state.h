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

// What the stub devices know, and the rules that a device would enforce.
namespace stub {

// By the environment (cuda_runtime.cpp).
extern const int device_count;
extern const long questions;
extern const std::size_t device_bytes;

/// What a device does at the same time: kernels, and a copy each way.
enum class Engine { kernels, up, down };
/// Something that a device does, and how long it takes.
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
  double done_s = 0;  ///< when all that was started on it has ended
};
struct Event {
  int device = 0;
  std::shared_ptr<Capture> captured = {};
  long questions = 0;  ///< that are to be answered with "not yet"
  double done_s = 0;
};
struct Memory {
  std::size_t size = 0;
  int device = -1;  ///< -1: of the host, pinned
};

/// What a thread has done and where it is.
struct Thread {
  int device = 0;
  cudaError_t error = cudaSuccess;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  std::vector<std::shared_ptr<Capture>> recording;  ///< begun by this thread
  std::map<std::string, long> calls;
  bool first = getpid() == gettid();
};
Thread& self();

extern std::recursive_mutex guard;     ///< of all that follows, and of all that is above
extern std::vector<std::size_t> used;  ///< bytes, by device
extern std::atomic<bool> waiting_forbidden;
extern std::atomic<int> forbidden_device;
extern std::atomic<long> mistakes, launches;
/// Names of kernels by the host's functions.
std::unordered_map<const void*, const char*>& kernels();

/// Prints it with its place.
void mistake(const std::string& what);
/// An error is remembered for cudaGetLastError.
cudaError_t done(cudaError_t error);
void count(const char* call);
/// A call that may not come while something is recorded, unless the thread has said that it knows (relaxed).
void unsafe(const char* call);
/// A call that waits for the device, or for the driver.
void waits(const char* call);
/// Copies to or from memory that is not pinned may wait. Whether this is one.
bool may_wait(const char* call, const void* to, const void* from);
Stream* stream_of(cudaStream_t handle);
/// What is started on a stream: belongs to a recording, or runs when what is before it on the stream and its
/// engine's last work have ended.
void starts(const char* what, cudaStream_t handle, const Work& work);
/// Of a clock that the devices' time is counted by.
double now_s();
void sleep_until(double s);
/// When all that was started on a device has ended.
double device_done_s(int device);

/// Nothing where no memory of ours is.
const Memory* memory_at(const void* address);
bool on_device(const Memory* found);
cudaError_t allocate(void** address, std::size_t size, int device);
cudaError_t release(void* address);
/// All that comes back from a device is bytes of 1.
void copy(void* to, const void* from, std::size_t size, cudaMemcpyKind kind);

}  // namespace stub
