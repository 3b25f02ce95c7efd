#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace tessera {

/// Starts a thread. `purpose` is what it does, such as "to commit the journal", for the message.
/// Errors: Error when the system starts no more threads, with what to try.
std::jthread start_thread(const char* purpose, std::function<void()> work);

/// Threads that work together and may wait for each other or for their owner. They are joined only after
/// their waits have been ended, so that no join waits for ever, also when one of them cannot be started.
class ThreadGroup {
 public:
  /// `close` ends the waits of all threads, for example by closing their queues. It is called before the
  /// threads are joined, any number of times, by the thread that owns the group. It must not throw.
  explicit ThreadGroup(std::function<void()> close) : close_(std::move(close)) {}
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;
  ~ThreadGroup() { join(); }

  /// Starts one more thread; `work` must not throw. Errors: as start_thread(), after the threads that were
  /// started before have ended.
  void start(const char* purpose, std::function<void()> work);
  /// Closes the group and waits for its threads.
  void join();
  bool empty() const { return threads_.empty(); }

 private:
  std::function<void()> close_;
  std::vector<std::jthread> threads_;
};

}  // namespace tessera
