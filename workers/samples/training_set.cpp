#include "workers/samples/training_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <numeric>

#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "io/volume/finite_check.h"
#include "workers/samples/class_shares.h"

namespace tessera {

TrainingSet::TrainingSet(const TrainingSetOptions& options) : scope_(options.normalisation) {
  std::vector<std::optional<double>> weights;
  for (const TrainingVolume& one : options.volumes) {
    volumes_.push_back(std::make_shared<const TrainingData>(one.data));
    weights.push_back(one.weight);
  }
  add_up(weights);
}

TrainingSet::TrainingSet(const TrainingData& data) {
  volumes_.push_back({std::shared_ptr<const void>(), &data});  // not owned
  add_up({std::nullopt});
}

void TrainingSet::add_up(const std::vector<std::optional<double>>& weights) {
  assert(!volumes_.empty() && weights.size() == volumes_.size());
  RawSums sums;
  class_counts_.assign(volumes_.front()->class_counts().size(), 0);
  std::vector<double> shares;
  for (std::size_t i = 0; i < volumes_.size(); ++i) {
    const TrainingData& one = *volumes_[i];
    const VolumeInfo &first = volumes_.front()->raw_info(), &info = one.raw_info();
    if (info.channels != first.channels) {
      throw UsageError(fmt::format("{} has {} channel{}, {} has {}: all volumes of a training need the same",
                                   info.name.text(), info.channels, info.channels == 1 ? "" : "s",
                                   first.name.text(), first.channels));
    }
    sums += one.raw_sums();
    const std::vector<std::int64_t>& counts = one.class_counts();
    for (std::size_t c = 0; c < counts.size(); ++c)
      class_counts_[c] += counts[c];
    pixels_ += one.pixels();
    const auto annotated =
        static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::int64_t{0}));
    shares.push_back(weights[i].value_or(annotated));
  }
  normalisation_ = sums.normalisation();
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (std::all_of(class_counts_.begin(), class_counts_.end(), [](std::int64_t n) { return n == 0; })) {
    throw UsageError(fmt::format(
        "no voxel of {}{} is annotated: all have the ignored label; look at ignore_label and the sections",
        volumes_.front()->options().labels.text(), count() == 1 ? "" : " and the other label volumes"));
  }
  double end = 0;
  for (const double share : shares)
    ends_.push_back((end += share) / total);
  ends_.back() = 1;
}

ClassShares TrainingSet::class_shares() const {
  ClassShares all;
  for (const auto& one : volumes_) {
    const std::vector<LabelId>& ids = one->label_ids();
    all += ClassShares{{}, ids, look_like_cells(ids, one->options().label_options()), one->doubts()};
  }
  all.counts = class_counts_;
  return all;
}

double TrainingSet::share(std::size_t index) const {
  return ends_[index] - (index == 0 ? 0 : ends_[index - 1]);
}

std::size_t TrainingSet::volume_at(double drawn) const {
  return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end() - 1, drawn) - ends_.begin());
}

Normalisation section_normalisation(const DatasetName& raw, const Sections& sections,
                                    const std::optional<PixelBounds>& region) {
  const std::unique_ptr<Volume> volume = open_volume(raw);
  const Index3 shape = volume->info().shape;
  const PixelBounds bounds = region.value_or(PixelBounds{0, 0, shape.y, shape.x});
  RawSums sums;
  for (std::int64_t z = sections.begin; z < sections.end; ++z) {
    const Box box{{z, bounds.y_begin, bounds.x_begin}, {z + 1, bounds.y_end, bounds.x_end}};
    const VoxelBuffer voxels = volume->read(box);
    require_finite(voxels, box, raw);
    with_voxel_type(voxels.type, [&](auto zero) {
      for (const auto value : voxels.as<decltype(zero)>()) {
        const auto v = static_cast<double>(value);
        sums += RawSums{v, v * v, 1};
      }
    });
  }
  return sums.normalisation();
}

}  // namespace tessera
