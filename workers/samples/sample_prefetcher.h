#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "io/base/thread_group.h"
#include "workers/network/between_layers.h"
#include "workers/samples/sample_recipe.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// A sample ready for the network. With an empty `sample`, a recipe for a DeviceSampler.
struct PreparedSample {
  SampleRecipe recipe;
  Sample sample;
  std::vector<float> weights;  ///< of its pixels, (output_side, output_side)
};

/// Makes samples on its own threads, ahead of the training thread that takes them. A sample depends only on
/// its number, and they are taken in order, so the number of threads and their speed do not change the
/// result. One thread calls take() and drop().
class SamplePrefetcher {
 public:
  /// `make` is called by several threads at the same time. `next` returns the number that follows a number.
  /// At most `ahead` samples wait or are in progress. With 0 threads take() makes them. Errors: Error when a
  /// thread cannot be started.
  SamplePrefetcher(std::function<PreparedSample(std::int64_t)> make,
                   std::function<std::int64_t(std::int64_t)> next, int threads, std::size_t ahead);
  SamplePrefetcher(const SamplePrefetcher&) = delete;
  SamplePrefetcher& operator=(const SamplePrefetcher&) = delete;
  /// Waits for the samples in progress.
  ~SamplePrefetcher() = default;

  /// The sample of this number. If it does not follow the last one taken (the first, or after a resume), all
  /// samples made ahead are dropped. `between`: called while it waits; may be empty. Errors: what `make` or
  /// `between` threw; the sample can then be taken again.
  PreparedSample take(std::int64_t number, const BetweenLayers& between = {});
  /// Waits for the samples in progress and drops all. Must be called before the input of `make` changes.
  void drop();
  /// Seconds that all take() so far have waited.
  double waited_s() const { return waited_s_; }

 private:
  struct Slot {
    std::int64_t number = 0;
    bool begun = false, done = false;
    PreparedSample sample;
    std::exception_ptr error;
  };
  void run();
  void close();
  std::shared_ptr<Slot> begin_next();
  void refill(std::int64_t after);

  std::function<PreparedSample(std::int64_t)> make_;
  std::function<std::int64_t(std::int64_t)> next_;
  std::size_t ahead_;
  double waited_s_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> slots_;  ///< in the order in which they are taken
  bool closed_ = false;
  int busy_ = 0;         ///< threads that are making a sample
  ThreadGroup threads_;  ///< last: it ends before the other members
};

}  // namespace tessera
