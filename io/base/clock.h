#pragma once

#include <chrono>

namespace tessera {

/// Seconds of a monotonic clock. Only differences are meaningful.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Adds the time of a scope to `total_s`.
class ScopeTimer {
 public:
  explicit ScopeTimer(double& total_s) : total_s_(total_s), begin_s_(seconds_now()) {}
  ScopeTimer(const ScopeTimer&) = delete;
  ScopeTimer& operator=(const ScopeTimer&) = delete;
  ~ScopeTimer() { total_s_ += seconds_now() - begin_s_; }

 private:
  double& total_s_;
  double begin_s_;
};

}  // namespace tessera
