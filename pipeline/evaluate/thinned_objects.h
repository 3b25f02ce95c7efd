#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "io/geometry/voxel_type.h"
#include "io/volume/label_id.h"
#include "workers/metrics/partition_scores.h"

namespace tessera {

/// Sums of V^Rand_thin and V^Info_thin of predicted objects in one section; all doubles.
struct ThinnedSums {
  RandSums rand;
  InfoSums info;
  double interior = 0;  ///< scored pixels in true objects

  ThinnedSums& operator+=(const ThinnedSums& other);
};

/// More voxels are not thinned: that takes about 0.2 us a voxel, ten times as long as all other scores.
inline constexpr std::int64_t kMostThinnedVoxels = std::int64_t{1} << 26;

/// Ids of one section, (1, y, x) unsigned integers of equal shape, as a prediction and its labels. The true
/// objects are those of a probability's scores: cells with a border of class 0 where two of them touch. Each
/// predicted id is parted into its 4-connected pieces, which then grow over the pixels of id 0 as thin()
/// does. Pixels with `ignore` or a negative id in the labels are not scored. Errors: as label_components.
ThinnedSums thinned_sums(const VoxelBuffer& truth, const VoxelBuffer& predicted,
                         std::optional<LabelId> ignore);

/// Over all sections: V^Rand_thin and V^Info_thin as published, the mean of the sections' F. Sections without
/// a true object do not count. Undefined where none has one.
struct ThinnedScores {
  double rand_f_macro = kUndefined, info_f_macro = kUndefined;
};
ThinnedScores thinned_scores(const std::vector<ThinnedSums>& sections);

}  // namespace tessera
