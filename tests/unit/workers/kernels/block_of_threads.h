#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace tessera::testing {

/// What a GPU's block of threads is, on the CPU: they run one at a time, each until it waits for others, a
/// warp as far as it can before the next.
class BlockOfThreads {
 public:
  static constexpr std::size_t kWarp = 32;
  explicit BlockOfThreads(std::size_t threads);
  ~BlockOfThreads();
  BlockOfThreads(const BlockOfThreads&) = delete;
  BlockOfThreads& operator=(const BlockOfThreads&) = delete;

  /// Runs them all to their end, from the first to the last, or the other way round. The function gets a
  /// thread's number.
  void run(const std::function<void(std::size_t)>& thread, bool backwards);

  /// Called by a thread: goes on when all of its group of so many, counted from the first, have called it as
  /// often. Threads that wait for ever are std::logic_error from run().
  void meet(std::size_t group);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tessera::testing
