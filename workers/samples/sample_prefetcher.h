#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "workers/samples/sample_recipe.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// A sample ready for the network, or, with `sample` empty, for what makes it on the network's device.
struct PreparedSample {
  SampleRecipe recipe;
  Sample sample;
  std::vector<float> weights;  ///< of its pixels, (output_side, output_side)
};

/// Makes samples on threads of its own, ahead of the one who takes them. What a sample is depends on its
/// number alone, and they are taken in order, so neither the number of threads nor their speed changes
/// anything.
class SamplePrefetcher {
 public:
  /// `make` is called from several threads at once. `next` says which number follows. At most `ahead` samples
  /// wait or are being made. With no threads, take() makes them.
  SamplePrefetcher(std::function<PreparedSample(std::int64_t)> make,
                   std::function<std::int64_t(std::int64_t)> next, int threads, std::size_t ahead);
  SamplePrefetcher(const SamplePrefetcher&) = delete;
  SamplePrefetcher& operator=(const SamplePrefetcher&) = delete;
  /// Waits for the samples that are being made.
  ~SamplePrefetcher();

  /// The sample of this number. Where it is not the one that follows the last (the first, or after a resume),
  /// what was made ahead is dropped. Errors: what `make` threw for it.
  PreparedSample take(std::int64_t number);
  /// Waits for the samples that are being made and forgets all: call it before what `make` reads changes.
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
  std::shared_ptr<Slot> begin_next();
  void refill(std::int64_t after);

  std::function<PreparedSample(std::int64_t)> make_;
  std::function<std::int64_t(std::int64_t)> next_;
  std::size_t ahead_;
  double waited_s_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> slots_;  ///< in the order of taking
  bool closed_ = false;
  int busy_ = 0;  ///< threads that make a sample
  std::vector<std::jthread> threads_;
};

}  // namespace tessera
