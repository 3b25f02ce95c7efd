#include "workers/metrics/threshold_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <functional>
#include <optional>
#include <type_traits>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "workers/metrics/components.h"
#include "workers/metrics/ignored_class.h"
#include "workers/metrics/probability.h"
#include "workers/metrics/ratio.h"
#include "workers/metrics/watershed.h"

namespace tessera {
namespace {

// Ranks exchange sums as plain numbers.
constexpr std::size_t kNumbers = sizeof(ThresholdSums) / sizeof(double);
static_assert(std::is_trivially_copyable_v<ThresholdSums> &&
              sizeof(ThresholdSums) == kNumbers * sizeof(double));

}  // namespace

ThresholdSums& ThresholdSums::operator+=(const ThresholdSums& other) {
  true_positive += other.true_positive;
  false_positive += other.false_positive;
  false_negative += other.false_negative;
  true_negative += other.true_negative;
  rand += other.rand;
  rand_thin += other.rand_thin;
  info += other.info;
  info_thin += other.info_thin;
  pairs += other.pairs;
  warping += other.warping;
  objects += other.objects;
  return *this;
}

std::string missing_in_truth(const ThresholdSums& s) {
  const bool interior = s.true_positive + s.false_negative > 0,
             membrane = s.true_negative + s.false_positive > 0;
  if (interior && membrane) return {};
  return interior   ? "no membrane in the labels"
         : membrane ? "no interior in the labels"
                    : "no annotated pixel";
}

double correlation(const ThresholdSums& s) {
  const double interior = s.true_positive + s.false_negative, membrane = s.true_negative + s.false_positive,
               positive = s.true_positive + s.false_positive, negative = s.true_negative + s.false_negative;
  return ratio(s.true_positive * s.true_negative - s.false_positive * s.false_negative,
               std::sqrt(interior) * std::sqrt(membrane) * std::sqrt(positive) * std::sqrt(negative));
}

ThresholdScores scores_of(const ThresholdSums& s) {
  const double wrong = s.false_positive + s.false_negative;
  const double pixels = s.pixels();
  const auto share = [pixels](double part) { return ratio(part, pixels); };
  ThresholdScores scores;
  scores.pixel_error = share(wrong);
  scores.precision = ratio(s.true_positive, s.true_positive + s.false_positive);
  scores.recall = ratio(s.true_positive, s.true_positive + s.false_negative);
  scores.f = ratio(2 * s.true_positive, 2 * s.true_positive + wrong);
  scores.iou = ratio(s.true_positive, s.true_positive + wrong);
  scores.membrane_f = ratio(2 * s.true_negative, 2 * s.true_negative + wrong);
  scores.membrane_iou = ratio(s.true_negative, s.true_negative + wrong);
  scores.rand = scores_of(s.rand);
  scores.rand_thin = scores_of(s.rand_thin);
  // Without true interior V^Info compares nothing.
  if (s.true_positive + s.false_negative > 0) {
    scores.info = scores_of(s.info);
    scores.info_thin = scores_of(s.info_thin);
  }
  scores.rand_all = scores_of(s.pairs);
  scores.rand_index_error = rand_index_error(s.pairs);
  scores.warping_error = share(s.warping.mismatches);
  scores.warping_split_merge = share(s.warping.split_pixels + s.warping.merge_pixels);
  scores.objects = scores_of(s.objects);
  return scores;
}

std::vector<double> accumulated_thresholds(int count) {
  if (count < 2 || count > 1001) {
    throw UsageError(
        fmt::format("{} thresholds: choose 2 to 1001 of them, such as 11 for 0.0, 0.1, ... 1.0", count));
  }
  std::vector<double> thresholds;
  double threshold = 0;
  for (int i = 0; i < count; ++i, threshold += 1.0 / (count - 1))
    thresholds.push_back(threshold);
  return thresholds;
}

template <class T>
std::vector<ThresholdSums> score_section(std::span<const T> probability, std::span<const std::uint8_t> truth,
                                         std::int64_t height, std::int64_t width,
                                         std::span<const double> thresholds, const ScoreChoice& choice,
                                         ScoreSeconds* seconds) {
  ScoreSeconds unused;
  ScoreSeconds& spent = seconds != nullptr ? *seconds : unused;
  assert(probability.size() == truth.size() && static_cast<std::int64_t>(truth.size()) == height * width);
  assert(std::is_sorted(thresholds.begin(), thresholds.end()));
  // The number of thresholds below each pixel's probability: the pixel is interior at those.
  std::vector<std::uint16_t> above(probability.size());
  // Where the truth is ignored neither side has interior, so that no object reaches across.
  std::vector<double> values(choice.warping ? probability.size() : 0);
  std::vector<std::uint8_t> true_interior(truth.begin(), truth.end());
  std::replace(true_interior.begin(), true_interior.end(), kIgnoredClass, std::uint8_t{0});
  std::array<std::vector<double>, 2> pixels_above{std::vector<double>(thresholds.size() + 1, 0),
                                                  std::vector<double>(thresholds.size() + 1, 0)};
  for (std::size_t i = 0; i < above.size(); ++i) {
    if (truth[i] == kIgnoredClass) continue;
    const double value = probability_of(probability[i]);
    if (choice.warping) values[i] = value;
    const auto count = std::lower_bound(thresholds.begin(), thresholds.end(), value) - thresholds.begin();
    above[i] = static_cast<std::uint16_t>(count);
    pixels_above[truth[i] != 0 ? 1 : 0][static_cast<std::size_t>(count)] += 1;
  }
  const TrueComponents components(truth, height, width);
  std::vector<ThresholdSums> sums(thresholds.size());
  std::vector<std::uint8_t> interior(above.size());
  for (std::size_t t = 0; t < thresholds.size(); ++t) {
    ThresholdSums& s = sums[t];
    for (std::size_t count = 0; count <= thresholds.size(); ++count) {
      const bool positive = count > t;
      (positive ? s.true_positive : s.false_negative) += pixels_above[1][count];
      (positive ? s.false_positive : s.true_negative) += pixels_above[0][count];
    }
    std::transform(above.begin(), above.end(), interior.begin(),
                   [t](std::uint16_t count) { return static_cast<std::uint8_t>(count > t ? 1 : 0); });
    if (choice.rand || choice.thin || choice.objects) {
      std::optional<ScopeTimer> timer(spent.rand);
      const Components predicted = label_components(interior, height, width);
      if (choice.rand || choice.objects) {
        const Contingency table = count_overlaps(components, predicted.labels, predicted.count);
        if (choice.rand) s.rand = rand_sums(table);
        if (choice.rand) s.info = info_sums(table);
        if (choice.rand) s.pairs = pair_sums(table);
        if (choice.objects) s.objects = object_sums(table);
      }
      if (choice.thin) {
        timer.emplace(spent.thin);
        const Components thinned = thin(predicted, height, width, truth);
        const Contingency table = count_overlaps(components, thinned.labels, thinned.count);
        s.rand_thin = rand_sums(table);
        s.info_thin = info_sums(table);
      }
    }
    if (choice.warping && t + 1 < thresholds.size()) {
      const ScopeTimer timer(spent.warping);
      s.warping = classify_mismatches(warp_section(true_interior, values, thresholds[t], height, width),
                                      height, width);
    }
  }
  return sums;
}

template std::vector<ThresholdSums> score_section<float>(std::span<const float>,
                                                         std::span<const std::uint8_t>, std::int64_t,
                                                         std::int64_t, std::span<const double>,
                                                         const ScoreChoice&, ScoreSeconds*);
template std::vector<ThresholdSums> score_section<std::uint8_t>(std::span<const std::uint8_t>,
                                                                std::span<const std::uint8_t>, std::int64_t,
                                                                std::int64_t, std::span<const double>,
                                                                const ScoreChoice&, ScoreSeconds*);
template std::vector<ThresholdSums> score_section<std::uint16_t>(std::span<const std::uint16_t>,
                                                                 std::span<const std::uint8_t>, std::int64_t,
                                                                 std::int64_t, std::span<const double>,
                                                                 const ScoreChoice&, ScoreSeconds*);

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
  std::vector<double> values(sums.size() * kNumbers);
  std::ranges::copy(std::as_bytes(std::span(sums)), std::as_writable_bytes(std::span(values)).begin());
  return values;
}

void ThresholdTable::set_flat(std::span<const double> values) {
  assert(values.size() == sums.size() * kNumbers);
  std::ranges::copy(std::as_bytes(values), std::as_writable_bytes(std::span(sums)).begin());
}

std::vector<VolumeScores> volume_scores(const ThresholdTable& table) {
  std::vector<VolumeScores> scores(table.thresholds.size());
  for (std::size_t t = 0; t < scores.size(); ++t) {
    ThresholdSums pooled;
    double judged = 0, rand = 0, rand_thin = 0, info = 0, info_thin = 0;
    for (std::int64_t z = 0; z < table.sections; ++z) {
      const ThresholdSums& one = table.section(z)[t];
      pooled += one;
      if (one.true_positive + one.false_negative == 0) continue;
      judged += 1;
      rand += scores_of(one.rand).f;
      rand_thin += scores_of(one.rand_thin).f;
      info += scores_of(one.info).f;
      info_thin += scores_of(one.info_thin).f;
    }
    scores[t] = {scores_of(pooled), ratio(rand, judged), ratio(rand_thin, judged), ratio(info, judged),
                 ratio(info_thin, judged)};
  }
  return scores;
}

BestThresholds best_thresholds(const std::vector<VolumeScores>& scores) {
  const auto best = [&](const std::function<double(const VolumeScores&)>& score, std::size_t left_out = 0) {
    const auto end = scores.end() - static_cast<std::ptrdiff_t>(std::min(left_out, scores.size() - 1));
    const auto found = std::max_element(
        scores.begin(), end, [&](const auto& a, const auto& b) { return is_lower(score(a), score(b)); });
    return static_cast<std::size_t>(found - scores.begin());
  };
  return {.pixel_error = best([](const VolumeScores& s) { return -s.pooled.pixel_error; }),
          .f = best([](const VolumeScores& s) { return s.pooled.f; }),
          .iou = best([](const VolumeScores& s) { return s.pooled.iou; }),
          .rand_f_micro = best([](const VolumeScores& s) { return s.pooled.rand.f; }),
          .rand_f_macro = best([](const VolumeScores& s) { return s.rand_f_macro; }),
          .rand_all = best([](const VolumeScores& s) { return s.pooled.rand_all.f; }),
          .rand_thin = best([](const VolumeScores& s) { return s.rand_thin_f_macro; }),
          .info_thin = best([](const VolumeScores& s) { return s.info_thin_f_macro; }),
          .warping_error = best([](const VolumeScores& s) { return -s.pooled.warping_error; }, 1),
          .warping_split_merge = best([](const VolumeScores& s) { return -s.pooled.warping_split_merge; }, 1),
          .seg = best([](const VolumeScores& s) { return s.pooled.objects.seg; }),
          .f1 = best([](const VolumeScores& s) { return s.pooled.objects.f1[0]; })};
}

}  // namespace tessera
