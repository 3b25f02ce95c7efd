#include "workers/gradients/gradient_reducer.h"

#include <algorithm>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/thread_group.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {

GradientReducer::GradientReducer(const Communicator& workers, const GradientReducerOptions& options)
    : workers_(workers), options_(options) {
  if (workers.size() == 1) return;
  if (options.wire == Wire::bfloat16) gathering_ = std::make_unique<Communicator>(workers.split(0));
  int level = MPI_THREAD_SINGLE;
  check_mpi(MPI_Query_thread(&level), "report its thread support");
  if (level >= MPI_THREAD_SERIALIZED) thread_ = start_thread("to sum gradients", [this] { run(); });
}

GradientReducer::~GradientReducer() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void GradientReducer::begin(std::span<float> values) {
  const std::lock_guard lock(mutex_);
  values_ = values;
  begun_ = 0;
  in_flight_.clear();
  ready_ = 0;
  error_ = nullptr;
  active_ = workers_.size() > 1;
  changed_.notify_all();
}

void GradientReducer::ready(std::int64_t values) {
  const std::lock_guard lock(mutex_);
  ready_ = std::max(ready_, values);
  changed_.notify_all();
}

bool GradientReducer::is_complete() const {
  return in_flight_.empty() && begun_ == static_cast<std::int64_t>(values_.size());
}

/// Begins the buckets that are ready and advances those in flight. Returns whether any made progress.
bool GradientReducer::advance(std::int64_t ready) {
  const auto size = static_cast<std::int64_t>(values_.size());
  bool progress = false;
  while (begun_ < size && (begun_ + options_.bucket_values <= ready || ready == size)) {
    const std::int64_t count = std::min(options_.bucket_values, size - begun_);
    const auto bucket = values_.subspan(static_cast<std::size_t>(begun_), static_cast<std::size_t>(count));
    in_flight_.push_back(begin_bucket(bucket, options_.wire, workers_, gathering_.get()));
    begun_ += count;
    progress = true;
  }
  bool all_gather = true;
  for (const auto& bucket : in_flight_) {
    const bool gathered = bucket->gathers();
    bucket->advance(all_gather);
    all_gather = bucket->gathers();
    progress = progress || all_gather != gathered || bucket->is_done();
    if (!all_gather) break;  // later buckets must not begin their second collective before this one
  }
  std::erase_if(in_flight_, [](const auto& bucket) { return bucket->is_done(); });
  return progress;
}

/// The reducer's own thread.
void GradientReducer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closed_ || active_; });
    if (closed_) return;
    reduce(lock);
  }
}

/// Brings the active sum to its end, or stops when the reducer is closed. MPI is called without the lock.
void GradientReducer::reduce(std::unique_lock<std::mutex>& lock) {
  PoliteWait waiting(100);
  while (active_ && !closed_) {
    const std::int64_t ready = ready_;
    lock.unlock();
    bool progress = false;
    std::exception_ptr error;
    try {
      progress = advance(ready);
    } catch (...) {
      error = std::current_exception();
    }
    if (!error && !progress && !in_flight_.empty()) waiting.pause();
    if (progress) waiting.reset();
    lock.lock();
    if (error || is_complete()) {
      error_ = error;
      active_ = false;
      changed_.notify_all();
    } else if (in_flight_.empty()) {
      changed_.wait(lock, [&] { return closed_ || ready_ != ready; });
    }
  }
}

double GradientReducer::finish() {
  const MpiWait waiting("sum the gradients over the workers");
  const double begin = seconds_now();
  std::unique_lock lock(mutex_);
  if (thread_.joinable()) {
    changed_.wait(lock, [this] { return !active_; });
  } else if (active_) {
    const std::int64_t ready = ready_;
    lock.unlock();
    PoliteWait idle;
    while (!is_complete())
      advance(ready) ? idle.reset() : idle.pause();
    lock.lock();
    active_ = false;
  }
  if (error_) std::rethrow_exception(error_);
  return seconds_now() - begin;
}

}  // namespace tessera
