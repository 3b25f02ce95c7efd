#pragma once

namespace tessera::testing {

/// While it lives, the n-th thread that this process starts, from 1, cannot be started: EAGAIN, as at a limit
/// of threads. The threads before and after it can.
class FailingThread {
 public:
  explicit FailingThread(int nth);
  FailingThread(const FailingThread&) = delete;
  FailingThread& operator=(const FailingThread&) = delete;
  ~FailingThread();
  /// Whether it was asked for.
  bool has_failed() const;
};

}  // namespace tessera::testing
