#pragma once

#include <cstdint>
#include <vector>

#include "workers/network/normalisation.h"
#include "workers/samples/augmentation.h"
#include "workers/samples/sample_prefetcher.h"
#include "workers/samples/sample_recipe.h"
#include "workers/samples/training_set.h"

namespace tessera {

struct SampleOptions {
  std::int64_t tile_side = 572;  ///< of the network's input
  std::uint64_t seed = 1;
  bool class_balance = true;
  AugmentationOptions augmentation;
  double min_foreground = 0;  ///< share of a sample's output pixels; samples with less are drawn again
};

/// How often a sample with too little foreground is drawn again before the best one is taken.
constexpr int kForegroundDraws = 20;

/// Draws the samples of a training: position, changes and weights. A sample depends only on its number.
/// Thread-safe, except set_normalisation().
class SampleSource {
 public:
  SampleSource(const TrainingSet& data, const NetworkGeometry& geometry, const SampleOptions& options);

  const TrainingSet& data() const { return data_; }
  /// The number of samples of about one pass over the annotated pixels.
  std::int64_t samples_per_epoch() const { return samples_per_epoch_; }
  /// Mean and deviation of the raw values of all volumes; those of the data until set.
  const Normalisation& normalisation() const { return normalisation_; }
  void set_normalisation(const Normalisation& normalisation) { normalisation_ = normalisation; }
  /// The normalisation of a volume's samples.
  const Normalisation& normalisation_of(std::size_t volume) const;
  /// w_c of each class.
  const std::vector<float>& class_weights() const { return class_weights_; }

  /// The position and warp of the sample of a number.
  SampleDraw draw(std::int64_t number) const;
  /// The recipe of the sample of a number; numbers count from 0 over the whole training.
  SampleRecipe recipe(std::int64_t number) const;
  /// The sample of a number.
  PreparedSample prepare(std::int64_t number) const;

  const SampleOptions& options() const { return options_; }
  const NetworkGeometry& geometry() const { return geometry_; }

 private:
  RandomStream stream_of(std::int64_t number) const;
  SampleDraw draw_once(std::size_t volume, RandomStream& random) const;
  SampleDraw draw(RandomStream& random) const;
  double foreground(const SampleDraw& draw) const;

  TrainingSet data_;
  NetworkGeometry geometry_;
  SampleOptions options_;
  Normalisation normalisation_;
  std::int64_t samples_per_epoch_ = 1;
  std::vector<float> class_weights_;
};

}  // namespace tessera
