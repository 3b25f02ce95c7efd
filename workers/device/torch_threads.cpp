#include "workers/device/torch_threads.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "io/base/thread_group.h"

namespace tessera {
namespace {

/// Has `count` threads at the same time, then ends them. Errors: as start_thread().
void try_threads(int count) {
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;
  ThreadGroup threads([&] {
    const std::lock_guard lock(mutex);
    closed = true;
    changed.notify_all();
  });
  for (int i = 0; i < count; ++i) {
    threads.start("of LibTorch", [&] {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return closed; });
    });
  }
}

}  // namespace

void set_torch_threads(int count) {
  // The pool is made at the first call of a process, with a thread for every core.
  static int tried = 0;
  const int needed = std::max(count, static_cast<int>(std::thread::hardware_concurrency()));
  if (needed > tried) try_threads(needed);
  tried = std::max(tried, needed);
  at::set_num_threads(count);
}

}  // namespace tessera
