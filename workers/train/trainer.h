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
#include "workers/train/gradient_engine.h"
#include "workers/train/gradient_reducer.h"
#include "workers/train/learning_rate_schedule.h"
#include "workers/train/optimizer.h"
#include "workers/train/sample_prefetcher.h"
#include "workers/train/sample_source.h"

namespace tessera {

class UNetImpl;

struct TrainerOptions {
  std::int64_t global_batch = 1;             ///< samples per iteration, over all workers
  int prefetch_threads = 1;                  ///< that make samples beside the training; 0: none
  double dice_weight = 0;                    ///< of the Dice term beside the cross-entropy; 0: none
  Precision precision = Precision::float32;  ///< of activations; parameters and sums are float32
  /// The same bits for any number of workers (with the same threads each): the sums over samples have a fixed
  /// order, at the price that nothing travels before all is computed.
  bool reproducible = false;
  Wire wire = Wire::float32;  ///< not used when reproducible
  bool nccl = true;           ///< on GPUs gradients travel by NCCL where every worker has it
  SampleOptions samples;
  OptimizerOptions optimizer;
  LearningRateSchedule schedule;
  bool scale_learning_rate = false;  ///< the full rate times global_batch (Goyal et al. 2017)
  double clip_norm = 0;              ///< the mean gradient's greatest norm; 0: any
  double average_decay = 0;          ///< of the weights' moving average; 0: none is kept
};

/// Why a worker would like a training to end after this iteration.
enum class StopWish { none, time_is_up, stop_early };

/// What one iteration brought, the same on every worker.
struct TrainingStep {
  std::int64_t iteration = 0;      ///< counted from 1
  double epoch = 0;                ///< passes over the training sections so far
  double loss = 0;                 ///< weighted cross-entropy per unit of weight
  double pixel_error = 0;          ///< share of the outputs' pixels whose likeliest class is wrong
  double learning_rate = 0;        ///< of this iteration's step
  double gradient_norm = 0;        ///< of the mean gradient, before it is clipped
  StopWish stop = StopWish::none;  ///< the strongest wish of any worker
  double waiting_share = 0;        ///< of the workers' time in this iteration: waiting for samples
  double exchange_share = 0;       ///< of it: waiting for gradients to travel, when all was computed
};

/// The loss or its gradient is NaN or infinite: the same on every worker.
class NonFiniteLoss : public Error {
 public:
  using Error::Error;
};

/// Trains a network data-parallel: every worker computes its samples of the global batch, the sums of
/// gradients, losses and weights are reduced and divided once, and every worker takes the same step. Samples
/// are computed one at a time (a global batch larger than the number of workers is accumulated) and drawn
/// from streams keyed by (seed, epoch, sample), so the result does not depend on the number of workers: to
/// rounding, or to the bit when reproducible. Gradients travel while the backward pass of a worker's last
/// sample runs.
class Trainer {
 public:
  /// Collective over the workers. `network` is moved to the device. The normalisation is part of the state.
  Trainer(std::shared_ptr<UNetImpl> network, const TrainingSet& data, const TrainerOptions& options,
          const Device& device, const Communicator& workers);
  ~Trainer();

  /// Collective over the workers: one iteration. `wish` is this worker's own. `elapsed_share`, of the first
  /// worker, is the part of the training's time that is over, for the learning rate; 0 where time is not
  /// limited. Errors: NonFiniteLoss when the loss or a gradient is not finite; the network is then as before.
  TrainingStep step(StopWish wish, double elapsed_share = 0);

  std::int64_t iteration() const { return iteration_; }
  const SampleSource& samples() const { return source_; }
  const UNetImpl& network() const;
  /// What computes the gradients, in words.
  std::string engine_text() const;
  /// How gradients travel, in words.
  const std::string& exchange_text() const;
  /// A copy of the network with the averaged weights, which predict better; null where no average is kept.
  std::shared_ptr<UNetImpl> averaged_network() const;

  /// Weights, their average, batch statistics, optimizer, counters: all that step() depends on.
  void store(Checkpoint& checkpoint) const;
  /// Continues from a stored state, bit-equally on the CPU. An average that the state lacks starts as its
  /// weights. Errors: Error when it does not fit.
  void restore(const Checkpoint& checkpoint, const std::string& name);

 private:
  struct SampleSums;
  struct Model;
  void sum_over_workers(SampleSums& sums, bool overlapped);
  SampleSums compute_sample(std::int64_t sample_number, const GradientReady& ready);

  TrainerOptions options_;
  const Communicator& workers_;
  SampleSource source_;
  std::int64_t iteration_ = 0;
  std::int64_t samples_seen_ = 0;  ///< a resumed training may have another global batch
  std::unique_ptr<Model> model_;
  std::unique_ptr<SamplePrefetcher> prefetcher_;  ///< last: its threads end first
};

}  // namespace tessera
