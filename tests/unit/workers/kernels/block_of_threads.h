#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace tessera::testing {

/// A GPU's thread block on the CPU. Threads run one at a time, each until it waits for others. A warp runs as
/// far as it can before the next.
class BlockOfThreads {
 public:
  static constexpr std::size_t kWarp = 32;
  explicit BlockOfThreads(std::size_t threads);
  ~BlockOfThreads();
  BlockOfThreads(const BlockOfThreads&) = delete;
  BlockOfThreads& operator=(const BlockOfThreads&) = delete;

  /// Runs all threads to their end, from the first to the last or backwards. The function gets a thread's
  /// number.
  void run(const std::function<void(std::size_t)>& thread, bool backwards);

  /// A barrier: a thread calls it, and continues when all threads of its group have called it as often.
  /// Groups are `group` consecutive threads. A deadlock is a std::logic_error from run().
  void meet(std::size_t group);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::testing
