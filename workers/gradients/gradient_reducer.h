#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "workers/gradients/reduction_bucket.h"
#include "workers/mpi/communicator.h"

namespace tessera {

struct GradientReducerOptions {
  Wire wire = Wire::float32;
  std::int64_t bucket_values = std::int64_t{1} << 18;  ///< values per bucket; 1 MiB of float32
};

/// Sums a vector of the host's memory over the workers by MPI while it is still being computed. The vector
/// becomes final from its front. Final values are sent in buckets by the reducer's own thread, in parallel
/// with the computation. One sum:
///
///     reducer.begin(gradient);
///     ... reducer.ready(n) from any thread as the front grows; finally ready(gradient.size()) ...
///     reducer.finish();
///
/// From begin() until finish() returns, only the reducer calls MPI: no other thread of the process may.
/// begin() and finish() are called by one thread. The own thread needs MPI_THREAD_SERIALIZED; with less
/// thread support, or with one worker, there is none and finish() does the work. Every worker ends with the
/// same bits.
class GradientReducer {
 public:
  /// Collective over the workers. `workers` must outlive it.
  explicit GradientReducer(const Communicator& workers, const GradientReducerOptions& options = {});
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;
  /// Not collective. Abandons an unfinished sum without waiting for other workers. Where buckets were in
  /// flight the job must be aborted afterwards.
  ~GradientReducer();

  /// Collective over the workers, with the same size: begins a sum. `values` must live until finish()
  /// returns.
  void begin(std::span<float> values);
  /// The first `values` values are final. A lower number than before has no effect. Thread-safe.
  void ready(std::int64_t values);
  /// Collective over the workers. Waits until the sum of all values is in place; all must have been declared
  /// ready. Returns the seconds spent waiting, which is the part that the computation did not hide.
  /// Errors: Error when MPI fails.
  double finish();

 private:
  void run();
  void reduce(std::unique_lock<std::mutex>& lock);
  bool advance(std::int64_t ready);
  bool is_complete() const;

  const Communicator& workers_;
  std::unique_ptr<Communicator> gathering_;  ///< for the second collective of bfloat16 buckets
  GradientReducerOptions options_;

  // begin() writes these while no sum is active; then only the thread that calls MPI uses them.
  std::span<float> values_;
  std::int64_t begun_ = 0;  ///< values whose bucket has begun
  std::deque<std::unique_ptr<ReductionBucket>> in_flight_;

  // Guarded by mutex_.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool active_ = false;  ///< a sum has begun and is not complete
  bool closed_ = false;
  std::int64_t ready_ = 0;
  std::exception_ptr error_;

  std::jthread thread_;  ///< last: it ends before the other members
};

}  // namespace tessera
