#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "io/base/enum_names.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What gradients travel as. They are summed in float32 either way.
enum class Wire {
  float32,
  bfloat16,  ///< half the bytes: rounded on the way to the rank that sums them, and on the way back
};
constexpr auto enum_names(Wire) {
  return std::to_array<EnumName<Wire>>({{Wire::float32, "float32"}, {Wire::bfloat16, "bfloat16"}});
}

struct GradientReducerOptions {
  Wire wire = Wire::float32;
  std::int64_t bucket_values = std::int64_t{1} << 18;  ///< that travel together; 1 MiB of float32
};

/// Sums a vector over the workers while it is still being computed. The vector becomes final from its front;
/// what is final travels in buckets, on a thread of the reducer's own, beside the computation. One use:
///
///     reducer.begin(gradient);
///     ... reducer.ready(n) from any thread as the front grows; at last ready(gradient.size()) ...
///     reducer.finish();
///
/// From begin() to the end of finish() MPI belongs to the reducer: nobody else of the process may call it. It
/// needs MPI_THREAD_SERIALIZED; with less, or with one worker, there is no thread and finish() does the work.
/// Every worker ends with the same bits.
class GradientReducer {
 public:
  /// Collective over the workers. `workers` must outlive it.
  explicit GradientReducer(const Communicator& workers, const GradientReducerOptions& options = {});
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;
  /// Drops a reduction that has not finished: the job is about to be aborted.
  ~GradientReducer();

  /// Collective over the workers, with the same size: begins the sum. `values` must live until finish().
  void begin(std::span<float> values);
  /// So many values at the front are final. Never falls. Safe to call from any thread.
  void ready(std::int64_t values);
  /// Waits for the sum, in place, of all values, which must all be ready. Divide by the global count
  /// afterwards (sums, then divide). Returns the seconds waited: what was not hidden behind the computation.
  /// Errors: Error when MPI fails.
  double finish();

 private:
  class Bucket;
  void run();
  bool advance(std::int64_t ready);
  std::unique_ptr<Bucket> make_bucket(std::span<float> values) const;

  const Communicator& workers_;
  std::unique_ptr<Communicator> gathering_;  ///< of the second collective of a bucket, where there are two
  GradientReducerOptions options_;
  // Of the thread that calls MPI.
  std::span<float> values_;
  std::int64_t begun_ = 0;
  std::deque<std::unique_ptr<Bucket>> travelling_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool active_ = false, closed_ = false, waited_for_ = false;
  std::int64_t ready_ = 0;
  std::exception_ptr error_;
  std::jthread thread_;
};

/// The samples of a global batch that a worker computes: [begin, end).
struct SampleRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};
SampleRange samples_of(std::int64_t global_batch, int worker, int workers);

}  // namespace tessera
