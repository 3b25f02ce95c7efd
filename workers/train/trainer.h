#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/checkpoint_file.h"
#include "io/error.h"
#include "workers/device.h"
#include "workers/infer/tile_predictor.h"
#include "workers/mpi/communicator.h"
#include "workers/train/optimizer.h"
#include "workers/train/sample_prefetcher.h"
#include "workers/train/sample_source.h"

namespace tessera {

class UNetImpl;

struct TrainerOptions {
  std::int64_t global_batch = 1;  ///< samples per iteration, over all workers
  int prefetch_threads = 1;       ///< that make samples beside the training; 0: none
  double dice_weight = 0;         ///< of the Dice term beside the cross-entropy; 0: none
  SampleOptions samples;
  OptimizerOptions optimizer;
};

/// Why a worker would like a training to end after this iteration.
enum class StopWish { none, time_is_up, signal };

/// What one iteration brought, the same on every worker.
struct TrainingStep {
  std::int64_t iteration = 0;      ///< counted from 1
  double epoch = 0;                ///< passes over the training sections so far
  double loss = 0;                 ///< weighted cross-entropy per unit of weight
  double pixel_error = 0;          ///< share of the outputs' pixels whose likeliest class is wrong
  StopWish stop = StopWish::none;  ///< the strongest wish of any worker
  double waiting_share =
      0;  ///< of the workers' time in this iteration before the reduction: waiting for samples
};

/// The loss or its gradient is NaN or infinite: the same on every worker.
class NonFiniteLoss : public Error {
 public:
  using Error::Error;
};

/// Trains a network data-parallel: every worker computes its samples of the global batch, the sums of
/// gradients, losses and weights are reduced and divided once, and every worker takes the same step. Samples
/// are computed one at a time and drawn from streams keyed by (seed, epoch, sample), so the result does not
/// depend on the number of workers (to rounding).
class Trainer {
 public:
  /// `network` is moved to the device. The normalisation is part of the state.
  Trainer(std::shared_ptr<UNetImpl> network, const TrainingSet& data, const TrainerOptions& options,
          const Device& device, const Communicator& workers);
  ~Trainer();

  /// Collective over the workers: one iteration. `wish` is this worker's own.
  /// Errors: NonFiniteLoss when the loss or a gradient is not finite; the network is then as before.
  TrainingStep step(StopWish wish);

  std::int64_t iteration() const { return iteration_; }
  const SampleSource& samples() const { return source_; }
  const UNetImpl& network() const;

  /// Weights, batch statistics, optimizer, counters: all that step() depends on.
  void store(Checkpoint& checkpoint) const;
  /// Continues from a stored state, bit-equally on the CPU. Errors: Error when it does not fit.
  void restore(const Checkpoint& checkpoint, const std::string& name);

 private:
  struct Sums;
  struct Model;
  void compute_sample(std::int64_t sample_number, Sums& sums);

  TrainerOptions options_;
  const Communicator& workers_;
  SampleSource source_;
  std::int64_t iteration_ = 0;
  std::int64_t samples_seen_ = 0;  ///< a resumed training may have another global batch
  std::unique_ptr<Model> model_;
  std::unique_ptr<SamplePrefetcher> prefetcher_;  ///< last: its threads end first
};

}  // namespace tessera
