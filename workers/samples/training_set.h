#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "io/base/enum_names.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// Whose mean and deviation raw values are normalised with.
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
  std::optional<double> weight;  ///< how often samples come from it, relative; none: by its annotated pixels
};

struct TrainingSetOptions {
  std::vector<TrainingVolume> volumes;  ///< at least one; all with a weight, or none
  NormalisationScope normalisation = NormalisationScope::all;
};

/// The volumes of a training. Copies share what they hold.
class TrainingSet {
 public:
  /// Errors: those of TrainingData; UsageError naming the volume whose channels differ from the first one's,
  /// or when no voxel is annotated.
  explicit TrainingSet(const TrainingSetOptions& options);
  /// Of one volume, which must outlive it.
  TrainingSet(const TrainingData& data);  // NOLINT(google-explicit-constructor): one volume is a set

  std::size_t count() const { return volumes_.size(); }
  const TrainingData& volume(std::size_t index) const { return *volumes_[index]; }
  NormalisationScope scope() const { return scope_; }

  /// Mean and deviation of the raw voxels that are trained on, all volumes together.
  const Normalisation& normalisation() const { return normalisation_; }
  /// Voxels of each class, without ignored ones, all volumes together.
  const std::vector<std::int64_t>& class_counts() const { return class_counts_; }
  /// Pixels that are trained on, ignored ones counted in.
  double pixels() const { return pixels_; }
  /// How often samples come from a volume; the shares add up to 1.
  double share(std::size_t index) const;
  /// The volume of a number drawn from [0, 1).
  std::size_t volume_at(double drawn) const;

 private:
  void add_up(const std::vector<std::optional<double>>& weights);

  std::vector<std::shared_ptr<const TrainingData>> volumes_;
  NormalisationScope scope_ = NormalisationScope::all;
  Normalisation normalisation_;
  std::vector<std::int64_t> class_counts_;
  double pixels_ = 0;
  std::vector<double> ends_;  ///< of the volumes' shares, laid end to end; the last is 1
};

/// Mean and deviation of the raw values of some sections, within the region where there is one. Reads them
/// one by one. Errors: Error, for a NaN too.
Normalisation section_normalisation(const DatasetName& raw, const Sections& sections,
                                    const std::optional<PixelBounds>& region);

}  // namespace tessera
