#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/base/enum_names.h"
#include "workers/samples/class_shares.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// The source of the mean and deviation that normalise raw values.
enum class NormalisationScope {
  all,    ///< those of all volumes together
  volume  ///< each volume's own
};
constexpr auto enum_names(NormalisationScope) {
  return std::to_array<EnumName<NormalisationScope>>(
      {{NormalisationScope::all, "all"}, {NormalisationScope::volume, "volume"}});
}

/// One volume of a training set.
struct TrainingVolume {
  TrainingDataOptions data;
  std::optional<double> weight;  ///< relative frequency of its samples; none: by its annotated pixels
};

struct TrainingSetOptions {
  std::vector<TrainingVolume> volumes;  ///< at least one; all with a weight, or none
  NormalisationScope normalisation = NormalisationScope::all;
};

/// The volumes of a training. Copies share the voxels. Thread-safe.
class TrainingSet {
 public:
  /// Errors: those of TrainingData; UsageError naming the volume whose channels differ from the first one's,
  /// or when no voxel is annotated.
  explicit TrainingSet(const TrainingSetOptions& options);
  /// A set of one volume, which must outlive it.
  TrainingSet(const TrainingData& data);  // NOLINT(google-explicit-constructor): one volume is a set

  std::size_t count() const { return volumes_.size(); }
  const TrainingData& volume(std::size_t index) const { return *volumes_[index]; }
  NormalisationScope scope() const { return scope_; }

  /// Mean and deviation of the raw training voxels of all volumes together.
  const Normalisation& normalisation() const { return normalisation_; }
  /// The number of voxels of each class in all volumes, without ignored ones.
  const std::vector<std::int64_t>& class_counts() const { return class_counts_; }
  /// The classes and ids of all volumes.
  ClassShares class_shares() const;
  /// The number of training pixels, including ignored ones.
  double pixels() const { return pixels_; }
  /// The share of samples that come from a volume; the shares add up to 1.
  double share(std::size_t index) const;
  /// The volume for a number drawn from [0, 1).
  std::size_t volume_at(double drawn) const;

 private:
  void add_up(const std::vector<std::optional<double>>& weights);

  std::vector<std::shared_ptr<const TrainingData>> volumes_;
  NormalisationScope scope_ = NormalisationScope::all;
  Normalisation normalisation_;
  std::vector<std::int64_t> class_counts_;
  double pixels_ = 0;
  std::vector<double> ends_;  ///< cumulative shares; the last is 1
};

/// Mean and deviation of the raw values of some sections, within the region if there is one. Reads section by
/// section. Errors: Error, also for a NaN.
Normalisation section_normalisation(const DatasetName& raw, const Sections& sections,
                                    const std::optional<PixelBounds>& region);

}  // namespace tessera
