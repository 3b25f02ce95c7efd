#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "workers/metrics/object_scores.h"
#include "workers/metrics/partition_scores.h"
#include "workers/metrics/ratio.h"
#include "workers/metrics/warping_error.h"

namespace tessera {

/// Scores to compute in addition to those of pixels. Their cost is in docs/performance.md, "Scores".
struct ScoreChoice {
  bool rand = true;      ///< foreground-restricted Rand, V^Info, Rand over all pixels
  bool thin = false;     ///< V^Rand and V^Info after thinning the prediction's borders
  bool warping = false;  ///< warping error, at all thresholds but the last
  bool objects = false;  ///< 4-connected components as objects: SEG, precision, recall

  static ScoreChoice all() { return {true, true, true, true}; }
  friend bool operator==(const ScoreChoice&, const ScoreChoice&) = default;
};

/// Time spent on each; that of rand includes components and objects.
struct ScoreSeconds {
  double rand = 0, thin = 0, warping = 0;
};

/// Sums of one section at one threshold. They add up over sections and ranks. Scores that were not requested
/// are 0.
struct ThresholdSums {
  // Pixels, the interior being the positive class.
  double true_positive = 0, false_positive = 0, false_negative = 0, true_negative = 0;
  RandSums rand, rand_thin;
  InfoSums info, info_thin;
  PairSums pairs;
  WarpingSums warping;
  ObjectSums objects;

  double pixels() const { return true_positive + false_positive + false_negative + true_negative; }
  ThresholdSums& operator+=(const ThresholdSums& other);
  friend bool operator==(const ThresholdSums&, const ThresholdSums&) = default;
};

/// What the truth of some sums lacks; "" when it has pixels of both classes. With one class only there is
/// nothing to find: every prediction is perfect at some threshold, so the best scores mean nothing.
std::string missing_in_truth(const ThresholdSums& sums);

/// The correlation of truth and prediction, -1 to 1: Matthews' coefficient. Undefined when either has one
/// class only.
double correlation(const ThresholdSums& sums);
/// A correlation below it means that the labels are probably inverted.
constexpr double kInvertedCorrelation = -0.3;

/// Scores from the sums. 0 / 0 is undefined: a score over no pixel, the F of a section without interior.
struct ThresholdScores {
  double pixel_error = kUndefined;  ///< (fp + fn) / pixels
  /// Of the interior class; F is its Dice coefficient.
  double precision = kUndefined, recall = kUndefined, f = kUndefined, iou = kUndefined;
  double membrane_f = kUndefined, membrane_iou = kUndefined;  ///< of the other class
  PartitionScores rand, rand_thin, info, info_thin;
  PartitionScores rand_all;                 ///< pairs of all pixels
  double rand_index_error = kUndefined;     ///< 1 - Rand index of all pixels
  double warping_error = kUndefined;        ///< remaining mismatches / pixels
  double warping_split_merge = kUndefined;  ///< the challenge's value: (split + merge pixels) / pixels
  ObjectScores objects;
};
ThresholdScores scores_of(const ThresholdSums& sums);

/// `count` (at least 2) thresholds from 0.0 upwards, by adding 1 / (count - 1) in double. So 11 thresholds
/// are 0.0, 0.1, 0.2, 0.30000000000000004, ... as in the ISBI-2012 scorer. Errors: UsageError.
std::vector<double> accumulated_thresholds(int count);

/// The sums of one section at every threshold (ascending). `probability` is that of the interior: float
/// unchanged, uint8 divided by 255, uint16 by 65535, in double. A pixel is interior if it is above the
/// threshold. `truth` is 0, kIgnoredClass for pixels that are in no sum, other values in the interior. Both
/// are (y, x). Components are 4-connected and end at ignored pixels, as at the end of the section. So the
/// scores of a section whose ignored pixels surround a rectangle are those of the rectangle. T: float,
/// std::uint8_t, std::uint16_t.
template <class T>
std::vector<ThresholdSums> score_section(std::span<const T> probability, std::span<const std::uint8_t> truth,
                                         std::int64_t height, std::int64_t width,
                                         std::span<const double> thresholds, const ScoreChoice& choice = {},
                                         ScoreSeconds* seconds = nullptr);

/// Sums of a range of sections at every threshold.
struct ThresholdTable {
  std::vector<double> thresholds;
  std::int64_t sections = 0;
  std::vector<ThresholdSums> sums;  ///< (section, threshold)

  ThresholdTable(std::vector<double> thresholds_used, std::int64_t section_count);
  std::span<ThresholdSums> section(std::int64_t index);
  std::span<const ThresholdSums> section(std::int64_t index) const;
  /// All sums as plain numbers, for a reduction over ranks, and back.
  std::vector<double> flat() const;
  void set_flat(std::span<const double> values);
};

/// A volume at one threshold.
struct VolumeScores {
  ThresholdScores pooled;  ///< sums over the sections, then divided (micro)
  // Means over the sections (macro) of the F of each. Sections without true interior are left out; undefined
  // if none is left.
  double rand_f_macro = kUndefined, rand_thin_f_macro = kUndefined;
  double info_f_macro = kUndefined, info_thin_f_macro = kUndefined;
};
/// Per threshold. Sections are added in their order, so the bits do not depend on the ranks.
std::vector<VolumeScores> volume_scores(const ThresholdTable& table);

/// The index of the best threshold for each score, the lowest one of equals; 0 where it is undefined at all.
/// The warping error has no value at the last threshold.
struct BestThresholds {
  std::size_t pixel_error = 0, f = 0, iou = 0, rand_f_micro = 0, rand_f_macro = 0, rand_all = 0;
  std::size_t rand_thin = 0, info_thin = 0;  ///< of the means over sections
  std::size_t warping_error = 0, warping_split_merge = 0, seg = 0, f1 = 0;
};
BestThresholds best_thresholds(const std::vector<VolumeScores>& scores);

}  // namespace tessera
