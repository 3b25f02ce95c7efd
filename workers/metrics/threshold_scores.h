#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// What one section gives at one threshold. All are sums: they add up over sections, and over ranks that
/// hold different sections. Doubles because squares of large sections pooled over a volume outgrow 63 bits;
/// whole numbers below 2^53 (any section up to 90 million pixels) are exact.
struct ThresholdSums {
  // Pixels, the interior being the positive class.
  double true_positive = 0, false_positive = 0, false_negative = 0, true_negative = 0;
  // Foreground-restricted Rand, after Arganda-Carreras et al. 2015: pixels with ground truth 0 are dropped,
  // c_ij counts pixels of true component i and predicted component j, z those predicted as background,
  // each an object of its own.
  double rand_truth = 0;      ///< A = sum_i (sum_{j>=0} c_ij)^2
  double rand_predicted = 0;  ///< B = sum_{j>=1} (sum_i c_ij)^2 + z
  double rand_both = 0;       ///< AB = sum_{i,j>=1} c_ij^2 + z

  ThresholdSums& operator+=(const ThresholdSums& other);
  friend bool operator==(const ThresholdSums&, const ThresholdSums&) = default;
};

/// What the sums say. 0 / 0 is 1: a section without interior that is predicted without interior is right.
struct ThresholdScores {
  double pixel_error = 0;  ///< (fp + fn) / pixels
  double precision = 1, recall = 1, f = 1, iou = 1;  ///< of the interior class
  double rand_precision = 1, rand_recall = 1, rand_f = 1;
};
ThresholdScores scores_of(const ThresholdSums& sums);

/// `count` (at least 2) thresholds from 0.0 upwards, 1 / (count - 1) added each time in double, so that 11
/// are 0.0, 0.1, 0.2, 0.30000000000000004, ... as the ISBI-2012 scorer has them. Errors: UsageError.
std::vector<double> accumulated_thresholds(int count);

/// The sums of one section at every threshold (ascending). `probability` is that of the interior: float as
/// it is, uint8 divided by 255, uint16 by 65535, in double; a pixel is interior where it is above the
/// threshold. `truth` is non-zero in the interior. Both are (y, x). Components are 4-connected.
/// T: float, std::uint8_t, std::uint16_t.
template <class T>
std::vector<ThresholdSums> score_section(std::span<const T> probability, std::span<const std::uint8_t> truth,
                                         std::int64_t height, std::int64_t width,
                                         std::span<const double> thresholds);

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
  /// Mean over the sections (macro) of the Rand F; those without true interior, which judge nothing, are
  /// left out; 1 where none is left.
  double rand_f_macro = 1;
};
/// Per threshold, with the sections added in their order: the same bits however ranks shared them.
std::vector<VolumeScores> volume_scores(const ThresholdTable& table);

/// The index of the best threshold for each score; the lowest one among equals.
struct BestThresholds {
  std::size_t pixel_error = 0, f = 0, iou = 0, rand_f_micro = 0, rand_f_macro = 0;
};
BestThresholds best_thresholds(const std::vector<VolumeScores>& scores);

}  // namespace tessera
