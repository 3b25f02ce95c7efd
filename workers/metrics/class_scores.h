#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/metrics/ratio.h"

namespace tessera {

/// Class ids are 0 to kMostClasses - 1.
constexpr std::int64_t kMostClasses = 256;

/// The confusion matrix of voxels. Counts add up over sections and ranks.
struct ConfusionMatrix {
  std::int64_t classes = 0;
  std::vector<std::int64_t> counts;  ///< (true class, predicted class)

  explicit ConfusionMatrix(std::int64_t class_count = kMostClasses);
  std::int64_t at(std::int64_t truth, std::int64_t predicted) const;
  void add(std::int64_t truth, std::int64_t predicted, std::int64_t voxels = 1);
  ConfusionMatrix& operator+=(const ConfusionMatrix& other);
  /// Without the classes above the highest id that occurs; at least one class.
  ConfusionMatrix trimmed() const;
  friend bool operator==(const ConfusionMatrix&, const ConfusionMatrix&) = default;
};

/// Scores of one class. 0 / 0 is undefined, as for a class that neither side has.
struct ClassScores {
  std::int64_t truth = 0, predicted = 0, both = 0;  ///< voxels
  double iou = kUndefined, dice = kUndefined, precision = kUndefined, recall = kUndefined;
};

/// Means over the classes that the truth or the prediction has; undefined without any voxel.
struct ConfusionScores {
  double accuracy = kUndefined, mean_iou = kUndefined, mean_dice = kUndefined;
  std::vector<ClassScores> classes;
};
ConfusionScores scores_of(const ConfusionMatrix& matrix);

}  // namespace tessera
