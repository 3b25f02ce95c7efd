#include "workers/mpi/mpi_lock.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "io/base/clock.h"

namespace tessera {
namespace {

std::mutex mpi_mutex;
std::mutex waits_mutex;
std::vector<const MpiWait*> waits;         // guarded by waits_mutex
std::atomic<double> blocking_since_s = 0;  ///< 0: no call in progress

}  // namespace

std::unique_lock<std::mutex> lock_mpi() {
  return std::unique_lock(mpi_mutex);
}

std::unique_lock<std::mutex> lock_mpi_within(double seconds) {
  std::unique_lock lock(mpi_mutex, std::try_to_lock);
  for (const double end_s = seconds_now() + seconds; !lock.owns_lock() && seconds_now() < end_s;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    lock.try_lock();
  }
  return lock;
}

MpiWait::MpiWait(const char* what) : what_(what), begin_s_(seconds_now()) {
  const std::lock_guard lock(waits_mutex);
  waits.push_back(this);
}

MpiWait::~MpiWait() {
  const std::lock_guard lock(waits_mutex);
  std::erase(waits, this);
}

const char* MpiWait::current() {
  const std::lock_guard lock(waits_mutex);
  return waits.empty() ? nullptr : waits.back()->what_;
}

double MpiWait::longest_s() {
  const std::lock_guard lock(waits_mutex);
  return waits.empty() ? 0 : seconds_now() - waits.front()->begin_s_;
}

BlockingMpiCall::BlockingMpiCall(const char* what) : wait_(what), lock_(lock_mpi()) {
  blocking_since_s = seconds_now();
}

BlockingMpiCall::~BlockingMpiCall() {
  blocking_since_s = 0;
}

double BlockingMpiCall::elapsed_s() {
  const double since_s = blocking_since_s;
  return since_s == 0 ? 0 : seconds_now() - since_s;
}

}  // namespace tessera
