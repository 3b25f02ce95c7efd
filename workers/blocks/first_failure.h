#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

namespace tessera {

/// Stores the first exception of any stage for the thread that runs the worker.
class FirstFailure {
 public:
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_ = true;
  }
  void rethrow() const {
    if (!failed_) return;
    const std::lock_guard lock(mutex_);
    std::rethrow_exception(error_);
  }

 private:
  mutable std::mutex mutex_;
  std::exception_ptr error_;
  std::atomic<bool> failed_ = false;
};

}  // namespace tessera
