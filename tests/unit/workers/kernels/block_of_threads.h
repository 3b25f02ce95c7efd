#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace tessera::testing {

/// Emulates a GPU's thread block on the CPU. Threads run one at a time, each until it waits for others. A
/// warp runs as far as possible before the next warp runs.
class BlockOfThreads {
 public:
  static constexpr std::size_t kWarp = 32;
  explicit BlockOfThreads(std::size_t threads);
  ~BlockOfThreads();
  BlockOfThreads(const BlockOfThreads&) = delete;
  BlockOfThreads& operator=(const BlockOfThreads&) = delete;

  /// Runs all threads to their end, from the first to the last or backwards. The argument of the function is
  /// the thread's index.
  void run(const std::function<void(std::size_t)>& thread, bool backwards);

  /// A barrier: the calling thread continues when all threads of its group have called it equally often. A
  /// group is `group` consecutive threads. Errors: run() throws std::logic_error on a deadlock.
  void meet(std::size_t group);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::testing
