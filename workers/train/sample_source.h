#pragma once

#include <cstdint>
#include <vector>

#include "workers/network/normalisation.h"
#include "workers/train/augmentation.h"
#include "workers/train/sample_prefetcher.h"
#include "workers/train/training_data.h"

namespace tessera {

struct SampleOptions {
  std::int64_t tile_side = 572;  ///< of the network's input
  std::uint64_t seed = 1;
  bool class_balance = true;
  AugmentationOptions augmentation;
};

/// Draws the samples of a training: which place, how changed, with what weights. All of a sample follows from
/// its number. Safe to call from several threads.
class SampleSource {
 public:
  /// `data` must outlive it.
  SampleSource(const TrainingData& data, const NetworkGeometry& geometry, const SampleOptions& options);

  /// About one pass over the annotated pixels.
  std::int64_t samples_per_epoch() const { return samples_per_epoch_; }
  /// Mean and deviation of the raw values; of the data's own until set.
  const Normalisation& normalisation() const { return normalisation_; }
  void set_normalisation(const Normalisation& normalisation) { normalisation_ = normalisation; }
  /// w_c of each class.
  const std::vector<float>& class_weights() const { return class_weights_; }

  /// The sample of a number, counted from 0 over the whole training.
  PreparedSample prepare(std::int64_t number) const;

 private:
  const TrainingData& data_;
  NetworkGeometry geometry_;
  SampleOptions options_;
  Normalisation normalisation_;
  std::int64_t samples_per_epoch_ = 1;
  std::vector<float> class_weights_;
};

}  // namespace tessera
