#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// Class ids go from 0 to this, less one.
constexpr std::int64_t kMostClasses = 256;

/// How many voxels of each true class were called what. Counts add up over sections and ranks.
struct ConfusionMatrix {
  std::int64_t classes = 0;
  std::vector<std::int64_t> counts;  ///< (true class, predicted class)

  explicit ConfusionMatrix(std::int64_t class_count = kMostClasses);
  std::int64_t at(std::int64_t truth, std::int64_t predicted) const;
  void add(std::int64_t truth, std::int64_t predicted, std::int64_t voxels = 1);
  ConfusionMatrix& operator+=(const ConfusionMatrix& other);
  /// Without the classes beyond the highest id that occurs; one class at least.
  ConfusionMatrix trimmed() const;
  friend bool operator==(const ConfusionMatrix&, const ConfusionMatrix&) = default;
};

/// Of one class; 0 / 0 is 1, which is so for a class that neither side has.
struct ClassScores {
  std::int64_t truth = 0, predicted = 0, both = 0;  ///< voxels
  double iou = 1, dice = 1, precision = 1, recall = 1;
};

/// Means go over the classes that the truth or the prediction has; 1 without any voxel.
struct ConfusionScores {
  double accuracy = 1, mean_iou = 1, mean_dice = 1;
  std::vector<ClassScores> classes;
};
ConfusionScores scores_of(const ConfusionMatrix& matrix);

}  // namespace tessera
