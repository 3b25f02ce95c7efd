#include "workers/metrics/calibration.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <type_traits>

#include "workers/metrics/ignored_class.h"
#include "workers/metrics/probability.h"
#include "workers/metrics/ratio.h"

namespace tessera {
namespace {}  // namespace

ProbabilityHistogram::ProbabilityHistogram(int level_count)
    : levels(level_count), counts(2 * static_cast<std::size_t>(level_count), 0) {}

std::span<const std::int64_t> ProbabilityHistogram::of(int true_class) const {
  const auto count = static_cast<std::size_t>(levels);
  return std::span(counts).subspan(static_cast<std::size_t>(true_class) * count, count);
}

double ProbabilityHistogram::probability_at(int level) const {
  return levels == 256 ? level / 255.0 : static_cast<double>(level) / levels;
}

std::vector<PrecisionRecallPoint> precision_recall_curve(const ProbabilityHistogram& histogram) {
  const auto interior = histogram.of(1), membrane = histogram.of(0);
  double all = 0;
  for (const std::int64_t count : interior)
    all += static_cast<double>(count);
  std::vector<PrecisionRecallPoint> curve(interior.size());
  double right = 0, wrong = 0;
  for (std::size_t level = interior.size(); level-- > 0;) {
    right += static_cast<double>(interior[level]);
    wrong += static_cast<double>(membrane[level]);
    curve[level] = {histogram.probability_at(static_cast<int>(level)), ratio(right, right + wrong),
                    ratio(right, all), ratio(2 * right, right + wrong + all)};
  }
  return curve;
}

double average_precision(const ProbabilityHistogram& histogram) {
  const auto interior = histogram.of(1);
  if (std::all_of(interior.begin(), interior.end(), [](std::int64_t count) { return count == 0; }))
    return kUndefined;
  const std::vector<PrecisionRecallPoint> curve = precision_recall_curve(histogram);
  double sum = 0, recall = 0;
  for (std::size_t level = curve.size(); level-- > 0;) {
    // Above the highest probability the precision is undefined and the recall is 0.
    if (curve[level].recall > recall) sum += (curve[level].recall - recall) * curve[level].precision;
    recall = curve[level].recall;
  }
  return sum;
}

CalibrationSums& CalibrationSums::operator+=(const CalibrationSums& other) {
  for (std::size_t i = 0; i < bins.size(); ++i) {
    bins[i].pixels += other.bins[i].pixels;
    bins[i].interior += other.bins[i].interior;
    bins[i].probability += other.bins[i].probability;
  }
  squared_error += other.squared_error;
  return *this;
}

CalibrationScores scores_of(const CalibrationSums& sums) {
  double pixels = 0, expected_error = 0, largest_error = 0;
  for (const ReliabilityBin& bin : sums.bins) {
    if (bin.pixels == 0) continue;
    pixels += bin.pixels;
    const double error = std::abs(bin.probability - bin.interior);
    expected_error += error;
    largest_error = std::max(largest_error, error / bin.pixels);
  }
  return {ratio(expected_error, pixels), pixels == 0 ? kUndefined : largest_error,
          ratio(sums.squared_error, pixels)};
}

template <class T>
CalibrationSums calibrate_section(std::span<const T> probability, std::span<const std::uint8_t> truth,
                                  ProbabilityHistogram& histogram) {
  assert(probability.size() == truth.size() && histogram.levels == histogram_levels<T>());
  CalibrationSums sums;
  const auto levels = static_cast<std::size_t>(histogram.levels);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] == kIgnoredClass) continue;
    const double value = std::clamp(probability_of(probability[i]), 0.0, 1.0);
    const bool interior = truth[i] != 0;
    std::size_t level = 0;
    if constexpr (std::is_same_v<T, std::uint8_t>)
      level = probability[i];
    else
      level = std::min(static_cast<std::size_t>(value * static_cast<double>(levels)), levels - 1);
    ++histogram.counts[(interior ? levels : 0) + level];
    const auto index = static_cast<std::size_t>(value * kReliabilityBins);
    ReliabilityBin& bin = sums.bins[std::min<std::size_t>(index, kReliabilityBins - 1)];
    bin.pixels += 1;
    bin.interior += interior ? 1 : 0;
    bin.probability += value;
    const double error = value - (interior ? 1 : 0);
    sums.squared_error += error * error;
  }
  return sums;
}

template CalibrationSums calibrate_section<float>(std::span<const float>, std::span<const std::uint8_t>,
                                                  ProbabilityHistogram&);
template CalibrationSums calibrate_section<std::uint8_t>(std::span<const std::uint8_t>,
                                                         std::span<const std::uint8_t>,
                                                         ProbabilityHistogram&);
template CalibrationSums calibrate_section<std::uint16_t>(std::span<const std::uint16_t>,
                                                          std::span<const std::uint8_t>,
                                                          ProbabilityHistogram&);

}  // namespace tessera
