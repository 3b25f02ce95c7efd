#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "workers/metrics/ratio.h"

namespace tessera {

/// A histogram of probabilities per true class. Counts add up over sections and ranks.
/// uint8 keeps its 256 values; uint16 and float are sorted into 4096 levels of equal width.
struct ProbabilityHistogram {
  int levels = 256;
  std::vector<std::int64_t> counts;  ///< (class, level): class 1 is the interior

  explicit ProbabilityHistogram(int level_count = 256);
  std::span<const std::int64_t> of(int true_class) const;
  /// The lowest probability of a level.
  double probability_at(int level) const;
};

/// A point of the precision-recall curve: the interior is predicted where the probability is at least
/// `threshold`.
struct PrecisionRecallPoint {
  double threshold = 0, precision = kUndefined, recall = kUndefined, f = kUndefined;
};

/// At every level, from the lowest threshold (recall 1) to the highest. 0 / 0 is undefined.
std::vector<PrecisionRecallPoint> precision_recall_curve(const ProbabilityHistogram& histogram);

/// Average precision as in scikit-learn: sum_n (R_n - R_{n-1}) P_n from the highest threshold down, without
/// interpolation. Undefined without true interior.
double average_precision(const ProbabilityHistogram& histogram);

/// Ten bins of probability, [0, 0.1), ... [0.9, 1]: predicted probability and true share.
constexpr int kReliabilityBins = 10;
struct ReliabilityBin {
  double pixels = 0, interior = 0;
  double probability = 0;  ///< sum over the pixels
};

/// Sums of one section, in double: add them in the order of the sections.
struct CalibrationSums {
  std::array<ReliabilityBin, kReliabilityBins> bins{};
  double squared_error = 0;  ///< sum of (probability - truth)^2

  CalibrationSums& operator+=(const CalibrationSums& other);
};

/// Undefined without pixels.
struct CalibrationScores {
  /// ECE: mean over the pixels of |mean probability - share of interior| of their bin.
  double expected_error = kUndefined;
  double largest_error = kUndefined;  ///< the same of the worst bin that has pixels
  double brier = kUndefined;          ///< mean squared error of the probability
};
CalibrationScores scores_of(const CalibrationSums& sums);

/// Adds a section: `probability` as for score_section, `truth` likewise. The histogram must
/// have histogram_levels<T>() levels. T: float, std::uint8_t, std::uint16_t.
template <class T>
CalibrationSums calibrate_section(std::span<const T> probability, std::span<const std::uint8_t> truth,
                                  ProbabilityHistogram& histogram);
template <class T>
constexpr int histogram_levels() {
  return sizeof(T) == 1 ? 256 : 4096;
}

}  // namespace tessera
