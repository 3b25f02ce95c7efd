#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/volume/label_id.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// The annotated voxels of a training by class, and the ids that its labels hold.
struct ClassShares {
  std::vector<std::int64_t> counts;  ///< voxels of each class, without ignored ones
  std::vector<LabelId> ids;          ///< the first few different ids in the labels, ascending

  ClassShares& operator+=(const ClassShares& other);
  std::int64_t voxels() const;
  /// The number of classes that occur.
  std::int64_t present() const;
  /// "class 0: 24.1 %, class 1: 75.9 %".
  std::string text() const;
  /// One sentence for each class that has less than 0.1 percent of the voxels.
  std::vector<std::string> rare_classes() const;
};

/// Errors: UsageError when no voxel is annotated, or all are of one class and `allow_one_class` is false.
void require_classes(const ClassShares& shares, bool allow_one_class);

/// Counts the labels of a training volume, section by section, without its raw voxels. Errors: as
/// TrainingData.
ClassShares count_classes(const TrainingDataOptions& options);

/// The first few different ids of `labels`, ascending.
std::vector<LabelId> first_ids(const VoxelBuffer& labels);

}  // namespace tessera
