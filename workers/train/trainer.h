#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/base/enum_names.h"
#include "io/base/error.h"
#include "io/hdf5/checkpoint_file.h"
#include "workers/device/device.h"
#include "workers/gradients/gradient_ready.h"
#include "workers/gradients/reduction_bucket.h"
#include "workers/infer/tile_predictor.h"
#include "workers/mpi/communicator.h"
#include "workers/network/between_layers.h"
#include "workers/samples/sample_prefetcher.h"
#include "workers/samples/sample_source.h"
#include "workers/train/learning_rate_schedule.h"
#include "workers/train/optimizer_options.h"

namespace tessera {

class Network;

/// Where samples are cut, warped and augmented.
enum class SamplingPlace {
  automatic,  ///< the device, if it is a GPU and the annotated sections fit in kDeviceSamplingBudget; else
              ///< the host
  host,       ///< on threads, ahead of the training
  device,     ///< where the network is
};
constexpr auto enum_names(SamplingPlace) {
  return std::to_array<EnumName<SamplingPlace>>(
      {{SamplingPlace::automatic, "auto"}, {SamplingPlace::host, "host"}, {SamplingPlace::device, "device"}});
}
/// Bytes of GPU memory for the annotated sections; at most an eighth of the GPU's memory.
constexpr std::int64_t kDeviceSamplingBudget = std::int64_t{8} << 30;
/// Bytes of GPU memory for the activations of the samples that pass through the network together, if their
/// number is automatic; at most half of the GPU's memory.
constexpr std::int64_t kSamplesAtOnceBudget = std::int64_t{24} << 30;

struct TrainerOptions {
  std::int64_t global_batch = 1;  ///< samples per iteration, over all workers
  /// Samples that pass through the network together. 0: one on the CPU; on a GPU as many as the worker has
  /// and kSamplesAtOnceBudget allows. Always 1 with batch normalisation, which takes the statistics of each
  /// sample, and in reproducible trainings.
  std::int64_t samples_at_once = 0;
  SamplingPlace sampling = SamplingPlace::automatic;
  /// True: the host reads the results of a step only in report(). No value: true on a GPU. False in
  /// reproducible trainings and where it is false on any worker.
  std::optional<bool> sums_on_device = std::nullopt;
  int prefetch_threads = 1;                  ///< that make samples during the training; 0: none
  double dice_weight = 0;                    ///< of the Dice term added to the cross-entropy; 0: none
  Precision precision = Precision::float32;  ///< of activations; parameters and sums are float32
  /// Fixed reduction order: the same bits for any number of workers with the same threads each. Gradients are
  /// then sent only when all are computed.
  bool reproducible = false;
  Wire wire = Wire::float32;      ///< unused when reproducible
  bool nccl = true;               ///< on GPUs: exchange gradients by NCCL if every worker has it
  std::string nccl_library = {};  ///< a replacement of NVIDIA's library, used on any device
  bool cuda_aware_mpi = false;    ///< on GPUs without NCCL: MPI reduces in device memory, not the host's
  SampleOptions samples;
  OptimizerOptions optimizer;
  LearningRateSchedule schedule;
  bool scale_learning_rate = false;  ///< multiply the learning rate by global_batch (Goyal et al. 2017)
  double clip_norm = 0;              ///< maximum norm of the mean gradient; 0: no limit
  double average_decay = 0;          ///< of the moving average of the weights; 0: no average
  std::vector<std::string> frozen;   ///< parameters that keep their values, by their names in checkpoints
};

/// Why a worker asks for the training to end after this iteration.
enum class StopWish { none, time_is_up, stop_early };

/// What one worker asks of an iteration.
struct IterationRequest {
  StopWish stop = StopWish::none;
  bool save = false;  ///< a checkpoint after this iteration
  /// Of the first worker: the part of the training's time that is over, for the learning rate; 0 where the
  /// time is unlimited.
  double elapsed_share = 0;
};

/// How an iteration ended, the same on every worker.
struct IterationEnd {
  StopWish stop = StopWish::none;  ///< the strongest wish of any worker
  bool save = false;               ///< whether any worker asked for a checkpoint
  /// The iteration was left before its step, because a worker was told to leave (Trainer::leave_when()):
  /// everything is as after the iteration before. `stop` is then stop_early.
  bool left = false;
};

/// The result of one iteration, the same on every worker.
struct TrainingStep {
  std::int64_t iteration = 0;  ///< counted from 1
  double epoch = 0;            ///< passes over the training sections so far
  double loss = 0;             ///< weighted cross-entropy per unit of weight
  double pixel_error = 0;      ///< share of the annotated output pixels whose class is wrong; NaN without any
  double learning_rate = 0;    ///< of this iteration's step
  double gradient_norm = 0;    ///< of the mean gradient, before clipping
  StopWish stop = StopWish::none;  ///< the strongest wish of any worker
  double waiting_share = 0;        ///< of the workers' time in this iteration: waiting for samples
  double exchange_share = 0;       ///< of it: waiting for gradients after all were computed
};

/// The loss or its gradient is NaN or infinite: the same on every worker.
class NonFiniteLoss : public Error {
 public:
  using Error::Error;
};

/// Trains a network with data parallelism. Every worker computes its samples of the global batch,
/// `samples_at_once` at a time. The sums of gradients, losses and weights are reduced over the workers and
/// divided once, and every worker takes the same step. Random streams are keyed by (seed, epoch, sample), so
/// the result does not depend on the number of workers: up to rounding, or bitwise when reproducible.
/// Gradients are sent during the backward pass of a worker's last samples (GradientExchange). Nothing of the
/// state changes before they are summed, so an iteration can be left at any time. One thread makes all
/// calls.
class Trainer {
 public:
  /// Collective over the workers. The network is moved to the device. The normalisation is part of the state.
  /// Errors, on every worker: UsageError; Error, also when memory runs out.
  Trainer(std::shared_ptr<Network> network, const TrainingSet& data, const TrainerOptions& options,
          const Device& device, const Communicator& workers);
  ~Trainer();

  /// Whether this worker has to leave an iteration where it is. Asked often during advance(), between samples
  /// and on the CPU between layers, by the calling thread: it must be cheap. Once true, it must stay true.
  /// Empty: never.
  void leave_when(std::function<bool()> must_leave);
  /// Collective over the workers: one iteration. With sums on the device it is only queued. Errors:
  /// OutOfMemory, perhaps on one worker alone; without sums on the device NonFiniteLoss when the loss or the
  /// gradient is not finite, and the parameters are then unchanged.
  IterationEnd advance(const IterationRequest& request = {});
  /// Passes each iteration since the last report to `receive`, in order. Waits for the device. All workers
  /// must call it after the same iterations, so that all throw together. Errors: NonFiniteLoss at the first
  /// iteration that is not finite; with sums on the device the network is then unusable.
  void report(const std::function<void(const TrainingStep&)>& receive);
  /// Collective over the workers: advance(), then report() of this one iteration. No report may be pending.
  TrainingStep step(StopWish wish = StopWish::none, double elapsed_share = 0);

  std::int64_t iteration() const { return iteration_; }
  const SampleSource& samples() const { return source_; }
  const Network& network() const;
  /// Describes what computes the gradients and where samples are made.
  std::string engine_text() const;
  /// GradientExchange::text().
  const std::string& exchange_text() const;
  /// A copy of the network with the averaged weights, which predict better; null where no average is kept.
  std::shared_ptr<Network> averaged_network() const;

  /// Stores all that step() depends on: weights, their average, batch statistics, optimizer, counters.
  void store(Checkpoint& checkpoint) const;
  /// Resumes from a stored state, bit-equal on the CPU. An average that the state lacks starts from its
  /// weights. Errors: UsageError, Error when the state does not fit.
  void restore(const Checkpoint& checkpoint, const std::string& name);

 private:
  struct Model;
  struct Output;
  Output forward(std::int64_t first, std::int64_t count);
  void compute_samples(std::int64_t first, std::int64_t count, const GradientReady& ready);
  bool compute_group(std::int64_t first, std::int64_t count, const GradientReady& ready);
  bool compute_own_samples();
  void take_step(TrainingStep& step);
  void require_finite(const TrainingStep& step) const;

  TrainerOptions options_;
  const Communicator& workers_;
  SampleSource source_;
  std::int64_t iteration_ = 0;
  std::vector<TrainingStep> unreported_;
  BetweenLayers between_;          ///< throws PassInterrupted when this worker has to leave; may be empty
  std::int64_t samples_seen_ = 0;  ///< a resumed training may have another global batch
  std::unique_ptr<Model> model_;
  std::unique_ptr<SamplePrefetcher> prefetcher_;  ///< last: its threads end first
};

}  // namespace tessera
