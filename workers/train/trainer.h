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
#include "workers/gradients/gradient_engine.h"
#include "workers/gradients/gradient_reducer.h"
#include "workers/infer/tile_predictor.h"
#include "workers/mpi/communicator.h"
#include "workers/samples/sample_prefetcher.h"
#include "workers/samples/sample_source.h"
#include "workers/train/learning_rate_schedule.h"
#include "workers/train/optimizer.h"

namespace tessera {

class Network;

/// Where samples are cut, warped and changed.
enum class SamplingPlace {
  automatic,  ///< on a CUDA device, where it holds the annotated sections in kDeviceSamplingBudget; else on
              ///< the host
  host,       ///< on threads, ahead of the training
  device,     ///< where the network is
};
constexpr auto enum_names(SamplingPlace) {
  return std::to_array<EnumName<SamplingPlace>>(
      {{SamplingPlace::automatic, "auto"}, {SamplingPlace::host, "host"}, {SamplingPlace::device, "device"}});
}
constexpr std::int64_t kDeviceSamplingBudget = std::int64_t{8} << 30;
/// Bytes of the activations of samples that go through a network at once, where their number is automatic. On
/// smaller cards half of their memory is the limit, and an eighth of it for the sections.
constexpr std::int64_t kSamplesAtOnceBudget = std::int64_t{24} << 30;

struct TrainerOptions {
  std::int64_t global_batch = 1;  ///< samples per iteration, over all workers
  /// That go through the network together; 0: 1 on the CPU, on CUDA as many as a worker has and
  /// kSamplesAtOnceBudget allows. Batch normalisation, which takes the statistics of each sample, and
  /// reproducible trainings have 1.
  std::int64_t samples_at_once = 0;
  SamplingPlace sampling = SamplingPlace::automatic;
  /// The host reads nothing of a step back before report(). None: on CUDA. Not when reproducible, nor where a
  /// worker does not.
  std::optional<bool> sums_on_device = std::nullopt;
  int prefetch_threads = 1;                  ///< that make samples beside the training; 0: none
  double dice_weight = 0;                    ///< of the Dice term beside the cross-entropy; 0: none
  Precision precision = Precision::float32;  ///< of activations; parameters and sums are float32
  /// The same bits for any number of workers (with the same threads each): the sums over samples have a fixed
  /// order, at the price that nothing travels before all is computed.
  bool reproducible = false;
  Wire wire = Wire::float32;      ///< not used when reproducible
  bool nccl = true;               ///< on GPUs gradients travel by NCCL where every worker has it
  std::string nccl_library = {};  ///< another one than NVIDIA's, on any device
  /// On GPUs without NCCL: MPI sums in the devices' memory, instead of the host's.
  bool cuda_aware_mpi = false;
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
/// gradients, losses and weights are reduced and divided once, and every worker takes the same step. A worker
/// accumulates over its samples, `samples_at_once` at a time, and they are drawn from streams keyed by (seed,
/// epoch, sample), so the result does not depend on the number of workers: to rounding, or to the bit when
/// reproducible. Gradients travel while the backward pass of a worker's last samples runs.
class Trainer {
 public:
  /// Collective over the workers. `network` is moved to the device. The normalisation is part of the state.
  Trainer(std::shared_ptr<Network> network, const TrainingSet& data, const TrainerOptions& options,
          const Device& device, const Communicator& workers);
  ~Trainer();

  /// Collective over the workers: one iteration. `wish` is this worker's own; returns the strongest of any.
  /// `elapsed_share`, of the first worker, is the part of the training's time that is over, for the learning
  /// rate; 0 where time is not limited. With sums on the device it is only queued there. Else errors:
  /// NonFiniteLoss when the loss or a gradient is not finite; the network is then as before.
  StopWish advance(StopWish wish, double elapsed_share = 0);
  /// Waits for the iterations since the last report and tells of each, in order. Errors: NonFiniteLoss at the
  /// first that is not finite; with sums on the device the network is then of no use. Every worker must ask
  /// for it after the same iterations, so that all hear of that together.
  void report(const std::function<void(const TrainingStep&)>& hear);
  /// Collective over the workers: advances and reports. Nothing may wait for a report.
  TrainingStep step(StopWish wish, double elapsed_share = 0);

  std::int64_t iteration() const { return iteration_; }
  const SampleSource& samples() const { return source_; }
  const Network& network() const;
  /// What computes the gradients, in words, and from where samples come.
  std::string engine_text() const;
  /// How gradients travel, in words.
  const std::string& exchange_text() const;
  /// A copy of the network with the averaged weights, which predict better; null where no average is kept.
  std::shared_ptr<Network> averaged_network() const;

  /// Weights, their average, batch statistics, optimizer, counters: all that step() depends on.
  void store(Checkpoint& checkpoint) const;
  /// Continues from a stored state, bit-equally on the CPU. An average that the state lacks starts as its
  /// weights. Errors: Error when it does not fit.
  void restore(const Checkpoint& checkpoint, const std::string& name);

 private:
  struct SampleSums;
  struct Model;
  struct Answer;
  Answer forward(std::int64_t first, std::int64_t count);
  SampleSums compute_samples(std::int64_t first, std::int64_t count, const GradientReady& ready);
  void queue_samples(std::int64_t first, std::int64_t count, const GradientReady& ready);
  void sum_vector(bool overlapped);
  void sum_over_workers(SampleSums& sums, bool overlapped);
  void require_finite(const TrainingStep& step) const;

  TrainerOptions options_;
  const Communicator& workers_;
  SampleSource source_;
  std::int64_t iteration_ = 0;
  std::vector<TrainingStep> unreported_;
  std::int64_t samples_seen_ = 0;  ///< a resumed training may have another global batch
  std::unique_ptr<Model> model_;
  std::unique_ptr<SamplePrefetcher> prefetcher_;  ///< last: its threads end first
};

}  // namespace tessera
