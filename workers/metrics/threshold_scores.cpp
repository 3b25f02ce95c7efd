#include "workers/metrics/threshold_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <functional>
#include <limits>
#include <type_traits>

#include "io/error.h"
#include "workers/metrics/components.h"

namespace tessera {
namespace {

constexpr std::size_t kNumbers = 7;

std::array<double, kNumbers> numbers_of(const ThresholdSums& s) {
  return {s.true_positive, s.false_positive, s.false_negative, s.true_negative,
          s.rand_truth,    s.rand_predicted, s.rand_both};
}

double ratio(double part, double whole) { return whole == 0 ? 1.0 : part / whole; }
double square(double value) { return value * value; }

template <class T>
double probability_of(T value) {
  if constexpr (std::is_same_v<T, float>) return value;
  else return value / static_cast<double>(std::numeric_limits<T>::max());
}

/// The pixels of the true interior, component after component.
struct TruePixels {
  std::vector<std::int32_t> pixels;
  std::vector<std::size_t> begins;  ///< of each component, and the end

  TruePixels(std::span<const std::uint8_t> truth, std::int64_t height, std::int64_t width) {
    const Components components = label_components(truth, height, width);
    begins.assign(static_cast<std::size_t>(components.count) + 2, 0);
    for (const std::int32_t label : components.labels) {
      if (label != 0) ++begins[static_cast<std::size_t>(label) + 1];
    }
    for (std::size_t i = 2; i < begins.size(); ++i) begins[i] += begins[i - 1];
    pixels.resize(begins.back());
    std::vector<std::size_t> next = begins;
    for (std::size_t i = 0; i < components.labels.size(); ++i) {
      const auto label = static_cast<std::size_t>(components.labels[i]);
      if (label != 0) pixels[next[label]++] = static_cast<std::int32_t>(i);
    }
    begins.erase(begins.begin());  // label 0 has no pixels
  }
};

/// Adds A, B and AB to `sums`.
void add_rand(const TruePixels& truth, const Components& predicted, ThresholdSums& sums) {
  std::vector<std::int64_t> in_any(static_cast<std::size_t>(predicted.count) + 1, 0), in_this(in_any);
  std::vector<std::size_t> met;
  double background = 0;
  for (std::size_t component = 0; component + 1 < truth.begins.size(); ++component) {
    met.clear();
    for (std::size_t i = truth.begins[component]; i < truth.begins[component + 1]; ++i) {
      const auto label =
          static_cast<std::size_t>(predicted.labels[static_cast<std::size_t>(truth.pixels[i])]);
      if (in_this[label]++ == 0) met.push_back(label);
    }
    for (const std::size_t label : met) {
      const auto pixels = static_cast<double>(in_this[label]);
      if (label == 0) background += pixels;
      else sums.rand_both += square(pixels);
      in_any[label] += in_this[label];
      in_this[label] = 0;
    }
    sums.rand_truth += square(static_cast<double>(truth.begins[component + 1] - truth.begins[component]));
  }
  for (std::size_t label = 1; label < in_any.size(); ++label) {
    sums.rand_predicted += square(static_cast<double>(in_any[label]));
  }
  sums.rand_predicted += background;
  sums.rand_both += background;
}

}  // namespace

ThresholdSums& ThresholdSums::operator+=(const ThresholdSums& other) {
  true_positive += other.true_positive;
  false_positive += other.false_positive;
  false_negative += other.false_negative;
  true_negative += other.true_negative;
  rand_truth += other.rand_truth;
  rand_predicted += other.rand_predicted;
  rand_both += other.rand_both;
  return *this;
}

ThresholdScores scores_of(const ThresholdSums& s) {
  const double wrong = s.false_positive + s.false_negative;
  const double pixels = s.true_positive + s.true_negative + wrong;
  ThresholdScores scores;
  scores.pixel_error = pixels == 0 ? 0 : wrong / pixels;
  scores.precision = ratio(s.true_positive, s.true_positive + s.false_positive);
  scores.recall = ratio(s.true_positive, s.true_positive + s.false_negative);
  scores.f = ratio(2 * s.true_positive, 2 * s.true_positive + wrong);
  scores.iou = ratio(s.true_positive, s.true_positive + wrong);
  scores.rand_precision = ratio(s.rand_both, s.rand_predicted);
  scores.rand_recall = ratio(s.rand_both, s.rand_truth);
  scores.rand_f = ratio(2 * s.rand_both, s.rand_truth + s.rand_predicted);
  return scores;
}

std::vector<double> accumulated_thresholds(int count) {
  if (count < 2 || count > 1001) {
    throw UsageError(fmt::format("{} thresholds: choose 2 to 1001 of them, such as 11 for 0.0, 0.1, ... 1.0", count));
  }
  std::vector<double> thresholds;
  double threshold = 0;
  for (int i = 0; i < count; ++i, threshold += 1.0 / (count - 1)) thresholds.push_back(threshold);
  return thresholds;
}

template <class T>
std::vector<ThresholdSums> score_section(std::span<const T> probability, std::span<const std::uint8_t> truth,
                                         std::int64_t height, std::int64_t width,
                                         std::span<const double> thresholds) {
  assert(probability.size() == truth.size() && static_cast<std::int64_t>(truth.size()) == height * width);
  assert(std::is_sorted(thresholds.begin(), thresholds.end()));
  // How many thresholds each pixel is above: it is interior at those, whatever the later steps do.
  std::vector<std::uint16_t> above(probability.size());
  std::array<std::vector<double>, 2> pixels_above{std::vector<double>(thresholds.size() + 1, 0),
                                                  std::vector<double>(thresholds.size() + 1, 0)};
  for (std::size_t i = 0; i < above.size(); ++i) {
    const double value = probability_of(probability[i]);
    const auto count = std::lower_bound(thresholds.begin(), thresholds.end(), value) - thresholds.begin();
    above[i] = static_cast<std::uint16_t>(count);
    pixels_above[truth[i] != 0 ? 1 : 0][static_cast<std::size_t>(count)] += 1;
  }
  const TruePixels true_pixels(truth, height, width);
  std::vector<ThresholdSums> sums(thresholds.size());
  std::vector<std::uint8_t> interior(above.size());
  for (std::size_t t = 0; t < thresholds.size(); ++t) {
    for (std::size_t count = 0; count <= thresholds.size(); ++count) {
      const bool positive = count > t;
      (positive ? sums[t].true_positive : sums[t].false_negative) += pixels_above[1][count];
      (positive ? sums[t].false_positive : sums[t].true_negative) += pixels_above[0][count];
    }
    std::transform(above.begin(), above.end(), interior.begin(),
                   [t](std::uint16_t count) { return static_cast<std::uint8_t>(count > t ? 1 : 0); });
    add_rand(true_pixels, label_components(interior, height, width), sums[t]);
  }
  return sums;
}

template std::vector<ThresholdSums> score_section<float>(std::span<const float>, std::span<const std::uint8_t>,
                                                         std::int64_t, std::int64_t, std::span<const double>);
template std::vector<ThresholdSums> score_section<std::uint8_t>(std::span<const std::uint8_t>,
                                                                std::span<const std::uint8_t>, std::int64_t,
                                                                std::int64_t, std::span<const double>);
template std::vector<ThresholdSums> score_section<std::uint16_t>(std::span<const std::uint16_t>,
                                                                 std::span<const std::uint8_t>, std::int64_t,
                                                                 std::int64_t, std::span<const double>);

ThresholdTable::ThresholdTable(std::vector<double> thresholds_used, std::int64_t section_count)
    : thresholds(std::move(thresholds_used)),
      sections(section_count),
      sums(thresholds.size() * static_cast<std::size_t>(section_count)) {}

std::span<ThresholdSums> ThresholdTable::section(std::int64_t index) {
  return std::span(sums).subspan(static_cast<std::size_t>(index) * thresholds.size(), thresholds.size());
}

std::span<const ThresholdSums> ThresholdTable::section(std::int64_t index) const {
  return std::span(sums).subspan(static_cast<std::size_t>(index) * thresholds.size(), thresholds.size());
}

std::vector<double> ThresholdTable::flat() const {
  std::vector<double> values;
  values.reserve(sums.size() * kNumbers);
  for (const ThresholdSums& one : sums) {
    const auto numbers = numbers_of(one);
    values.insert(values.end(), numbers.begin(), numbers.end());
  }
  return values;
}

void ThresholdTable::set_flat(std::span<const double> values) {
  assert(values.size() == sums.size() * kNumbers);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto v = values.subspan(i * kNumbers, kNumbers);
    sums[i] = {v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
  }
}

std::vector<VolumeScores> volume_scores(const ThresholdTable& table) {
  std::vector<VolumeScores> scores(table.thresholds.size());
  for (std::size_t t = 0; t < scores.size(); ++t) {
    ThresholdSums pooled;
    double rand_sum = 0, judged = 0;
    for (std::int64_t z = 0; z < table.sections; ++z) {
      const ThresholdSums& one = table.section(z)[t];
      pooled += one;
      if (one.rand_truth == 0) continue;
      rand_sum += scores_of(one).rand_f;
      judged += 1;
    }
    scores[t] = {scores_of(pooled), ratio(rand_sum, judged)};
  }
  return scores;
}

BestThresholds best_thresholds(const std::vector<VolumeScores>& scores) {
  const auto best = [&](const std::function<double(const VolumeScores&)>& score) {
    const auto found = std::max_element(scores.begin(), scores.end(), [&](const auto& a, const auto& b) {
      return score(a) < score(b);
    });
    return static_cast<std::size_t>(found - scores.begin());
  };
  return {best([](const VolumeScores& s) { return -s.pooled.pixel_error; }),
          best([](const VolumeScores& s) { return s.pooled.f; }),
          best([](const VolumeScores& s) { return s.pooled.iou; }),
          best([](const VolumeScores& s) { return s.pooled.rand_f; }),
          best([](const VolumeScores& s) { return s.rand_f_macro; })};
}

}  // namespace tessera
