#include "workers/metrics/threshold_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <utility>

#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "workers/metrics/components.h"
#include "workers/metrics/ignored_class.h"

namespace tessera {
namespace {

using Mask = std::vector<std::uint8_t>;

VoxelBuffer golden(const std::string& name) {
  const auto volume = open_volume({std::string(TESSERA_GOLDEN) + "/isbi_metrics_crop.h5", "/" + name});
  return volume->read(Box::of_shape(volume->info().shape));
}

ThresholdTable score_golden(const std::string& proposal) {
  VoxelBuffer labels = golden("labels");
  const VoxelBuffer prediction = golden(proposal);
  std::ranges::transform(labels.as<std::uint8_t>(), labels.as<std::uint8_t>().begin(),
                         [](std::uint8_t label) { return static_cast<std::uint8_t>(label > 0 ? 1 : 0); });
  const Index3 shape = labels.shape;
  const auto pixels = static_cast<std::size_t>(shape.y * shape.x);
  ThresholdTable table(accumulated_thresholds(11), shape.z);
  for (std::int64_t z = 0; z < shape.z; ++z) {
    const auto at = static_cast<std::size_t>(z) * pixels;
    const auto sums = score_section<float>(prediction.as<float>().subspan(at, pixels),
                                           std::as_const(labels).as<std::uint8_t>().subspan(at, pixels),
                                           shape.y, shape.x, table.thresholds, ScoreChoice::all());
    std::copy(sums.begin(), sums.end(), table.section(z).begin());
  }
  return table;
}

/// A row of the output of the challenge's scorer (tests/golden/make_isbi_metrics_crop.py). Columns have the
/// names of the header.
struct GoldenRow {
  std::string proposal, first;             ///< `first`: the threshold, or the name of a summary
  std::map<std::string, double> expected;  ///< a summary has one column, "value"
};

std::vector<GoldenRow> golden_rows(const std::string& file) {
  std::ifstream in(std::string(TESSERA_GOLDEN) + "/" + file);
  EXPECT_TRUE(in.good()) << file;
  const auto cells_of = [](const std::string& line) {
    std::vector<std::string> cells;
    bool quoted = false;
    cells.emplace_back();
    for (const char c : line) {
      if (c == '"')
        quoted = !quoted;
      else if (c == ',' && !quoted)
        cells.emplace_back();
      else
        cells.back() += c;
    }
    return cells;
  };
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> names = cells_of(line);
  std::vector<GoldenRow> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> cells = cells_of(line);
    GoldenRow row{cells.at(0), cells.at(1), {}};
    if (cells.size() == 3) row.expected["value"] = std::stod(cells[2]);
    for (std::size_t i = 2; i < cells.size() && cells.size() > 3; ++i)
      row.expected[names.at(i)] = std::stod(cells[i]);
    rows.push_back(row);
  }
  return rows;
}

TEST(ThresholdScores, ReproduceTheChallengesScorer) {
  using Value = double (*)(const VolumeScores&);
  const std::map<std::string, Value> columns{
      {"pixErr(MSE)", [](const VolumeScores& s) { return s.pooled.pixel_error; }},
      {"pixF", [](const VolumeScores& s) { return s.pooled.f; }},
      {"pixPrec", [](const VolumeScores& s) { return s.pooled.precision; }},
      {"pixRec", [](const VolumeScores& s) { return s.pooled.recall; }},
      {"randF(all)", [](const VolumeScores& s) { return s.pooled.rand_all.f; }},
      {"randErr(1-RI,all)", [](const VolumeScores& s) { return s.pooled.rand_index_error; }},
      {"fgRandF(micro)", [](const VolumeScores& s) { return s.pooled.rand.f; }},
      {"fgRandF(macro)", [](const VolumeScores& s) { return s.rand_f_macro; }},
      {"VRand_thin(macro)", [](const VolumeScores& s) { return s.rand_thin_f_macro; }},
      {"VRand_thin(micro)", [](const VolumeScores& s) { return s.pooled.rand_thin.f; }},
      {"VRandprec(micro)", [](const VolumeScores& s) { return s.pooled.rand_thin.precision; }},
      {"VRandrec(micro)", [](const VolumeScores& s) { return s.pooled.rand_thin.recall; }},
      {"VInfo", [](const VolumeScores& s) { return s.info_f_macro; }},
      {"VInfo_thin", [](const VolumeScores& s) { return s.info_thin_f_macro; }}};
  const auto summary = [](const std::string& words, const std::vector<VolumeScores>& scores) {
    const BestThresholds best = best_thresholds(scores);
    if (words == "1-maxF pixel") return 1 - scores[best.f].pooled.f;
    if (words == "1-maxF Rand(all)") return 1 - scores[best.rand_all].pooled.rand_all.f;
    if (words == "1-maxF Rand(fg)") return 1 - scores[best.rand_f_micro].pooled.rand.f;
    if (words == "max VRand_thin macro") return scores[best.rand_thin].rand_thin_f_macro;
    EXPECT_EQ(words, "max VInfo_thin");
    return scores[best.info_thin].info_thin_f_macro;
  };
  std::map<std::string, std::vector<VolumeScores>> volumes;
  std::map<std::string, std::size_t> rows;
  std::size_t summaries = 0, numbers = 0;
  for (const GoldenRow& row : golden_rows("isbi_metrics_crop.csv")) {
    if (!volumes.contains(row.proposal)) volumes[row.proposal] = volume_scores(score_golden(row.proposal));
    const std::vector<VolumeScores>& scores = volumes[row.proposal];
    if (row.expected.contains("value")) {
      EXPECT_NEAR(summary(row.first, scores), row.expected.at("value"), 1e-9)
          << row.proposal << " " << row.first;
      ++summaries;
      continue;
    }
    const std::size_t t = rows[row.proposal]++;
    EXPECT_EQ(accumulated_thresholds(11).at(t), std::stod(row.first));
    for (const auto& [name, expected] : row.expected) {
      EXPECT_NEAR(columns.at(name)(scores.at(t)), expected, 1e-9)
          << row.proposal << " " << row.first << " " << name;
      ++numbers;
    }
  }
  EXPECT_EQ(summaries, 10u);
  EXPECT_EQ(numbers, 2 * 11 * columns.size());
  EXPECT_EQ(rows["A_gauss"], 11u);
  EXPECT_EQ(rows["C_nextlabel"], 11u);
}

TEST(ThresholdScores, ReproduceTheChallengesWarpingError) {
  const VoxelBuffer labels = golden("labels");
  const auto truth = labels.as<std::uint8_t>();
  const Index3 shape = labels.shape;
  const auto pixels = static_cast<std::size_t>(shape.y * shape.x);
  std::map<std::string, std::vector<VolumeScores>> volumes;
  std::map<std::string, std::size_t> rows;
  for (const GoldenRow& row : golden_rows("isbi_warping_crop.csv")) {
    if (!volumes.contains(row.proposal)) volumes[row.proposal] = volume_scores(score_golden(row.proposal));
    const std::vector<VolumeScores>& scores = volumes[row.proposal];
    if (row.expected.contains("value")) {
      const std::size_t best = best_thresholds(scores).warping_split_merge;
      EXPECT_NEAR(scores[best].pooled.warping_split_merge, row.expected.at("value"), 1e-9);
      continue;
    }
    const std::size_t t = rows[row.proposal]++;
    const double threshold = accumulated_thresholds(11).at(t);
    EXPECT_EQ(threshold, std::stod(row.first));
    EXPECT_NEAR(scores.at(t).pooled.warping_error, row.expected.at("warping_error"), 1e-9) << row.first;
    EXPECT_NEAR(scores.at(t).pooled.warping_split_merge, row.expected.at("split_merge_r20"), 1e-9)
        << row.first;
    WarpingSums near, whole;
    const VoxelBuffer prediction = golden(row.proposal);
    const std::vector<double> values(prediction.as<float>().begin(), prediction.as<float>().end());
    for (std::size_t at = 0; at < truth.size(); at += pixels) {
      const WarpedSection warped = warp_section(
          truth.subspan(at, pixels), std::span(values).subspan(at, pixels), threshold, shape.y, shape.x);
      near += classify_mismatches(warped, shape.y, shape.x, 20);
      whole += classify_mismatches(warped, shape.y, shape.x, 0);
    }
    EXPECT_EQ(near.split_pixels, row.expected.at("split_pixels_r20")) << row.first;
    EXPECT_EQ(near.merge_pixels, row.expected.at("merge_pixels_r20")) << row.first;
    EXPECT_EQ(near.splits, row.expected.at("splits_r20")) << row.first;
    EXPECT_EQ(near.merges, row.expected.at("merges_r20")) << row.first;
    EXPECT_EQ(whole.split_pixels, row.expected.at("split_pixels_whole")) << row.first;
    EXPECT_EQ(whole.merge_pixels, row.expected.at("merge_pixels_whole")) << row.first;
    EXPECT_EQ(near.mismatches, near.split_pixels + near.merge_pixels + near.hole_additions +
                                   near.hole_deletions + near.object_additions + near.object_deletions);
  }
  EXPECT_EQ(rows["A_gauss"], 10u);
  EXPECT_EQ(rows["C_nextlabel"], 10u);
}

ThresholdScores score_one(const std::vector<float>& probability, const Mask& truth, std::int64_t height,
                          std::int64_t width) {
  const std::vector<double> half{0.5};
  return scores_of(score_section<float>(probability, truth, height, width, half).at(0));
}

TEST(ThresholdScores, WithoutInteriorItsScoresAreUndefined) {
  const ThresholdScores scores = score_one({0, 0, 0, 0}, {0, 0, 0, 0}, 2, 2);
  EXPECT_EQ(scores.pixel_error, 0);
  EXPECT_EQ(scores.membrane_f, 1);
  for (const double score :
       {scores.precision, scores.recall, scores.f, scores.iou, scores.rand.f, scores.info.f}) {
    EXPECT_TRUE(std::isnan(score));
  }
}

TEST(ThresholdScores, WithoutAnnotatedPixelsAllScoresAreUndefined) {
  const ThresholdScores scores = score_one({0, 1, 0.5F, 0}, Mask(4, kIgnoredClass), 2, 2);
  for (const double score : {scores.pixel_error, scores.f, scores.iou, scores.membrane_f, scores.rand.f,
                             scores.rand_thin.f, scores.info.f, scores.rand_all.f, scores.rand_index_error,
                             scores.warping_error, scores.warping_split_merge, scores.objects.seg}) {
    EXPECT_TRUE(std::isnan(score));
  }
}

/// The rectangle [y0, y1) x [x0, x1) of a section that is `width` wide.
template <class T>
std::vector<T> cut(const std::vector<T>& section, std::int64_t width, std::int64_t y0, std::int64_t y1,
                   std::int64_t x0, std::int64_t x1) {
  std::vector<T> part;
  for (std::int64_t y = y0; y < y1; ++y) {
    for (std::int64_t x = x0; x < x1; ++x)
      part.push_back(section[static_cast<std::size_t>(y * width + x)]);
  }
  return part;
}

TEST(ThresholdScores, IgnoredPixelsAreInNoSum) {
  std::mt19937 random(5);
  const std::vector<double> thresholds = accumulated_thresholds(5);
  int with_objects = 0;
  for (int round = 0; round < 60; ++round) {
    const std::int64_t height = 9, width = 11;
    std::vector<float> probability(static_cast<std::size_t>(height * width));
    Mask truth(probability.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
      truth[i] = random() % 4 != 0 ? 1 : 0;
      probability[i] = static_cast<float>(random() % 101) / 100;
    }
    const auto less = [&] { return static_cast<std::int64_t>(random() % 3); };
    const std::int64_t y0 = less(), y1 = height - less(), x0 = less(), x1 = width - 1;
    Mask framed(truth.size(), kIgnoredClass);
    for (std::int64_t y = y0; y < y1; ++y) {
      for (std::int64_t x = x0; x < x1; ++x) {
        const auto at = static_cast<std::size_t>(y * width + x);
        framed[at] = truth[at];
      }
    }
    const auto whole =
        score_section<float>(probability, framed, height, width, thresholds, ScoreChoice::all());
    const auto part =
        score_section<float>(cut(probability, width, y0, y1, x0, x1), cut(truth, width, y0, y1, x0, x1),
                             y1 - y0, x1 - x0, thresholds, ScoreChoice::all());
    ASSERT_EQ(whole, part) << round;
    with_objects += whole[2].objects.truth > 1 && whole[2].warping.mismatches > 0 ? 1 : 0;
  }
  EXPECT_GT(with_objects, 20);
}

TEST(ThresholdScores, PredictedInteriorWithoutTrueInterior) {
  const ThresholdScores scores = score_one({1, 1, 0, 0}, {0, 0, 0, 0}, 2, 2);
  EXPECT_EQ(scores.pixel_error, 0.5);
  EXPECT_EQ(scores.precision, 0);
  EXPECT_TRUE(std::isnan(scores.recall));
  EXPECT_EQ(scores.f, 0);
  EXPECT_EQ(scores.iou, 0);
  EXPECT_TRUE(std::isnan(scores.rand.f)) << "without true interior there is no pair";
}

TEST(ThresholdScores, AllInterior) {
  const ThresholdScores right = score_one({1, 1, 1, 1}, {1, 1, 1, 1}, 2, 2);
  EXPECT_EQ(right.f, 1);
  EXPECT_EQ(right.rand.f, 1);
  // All pixels are missed: four singletons against one object of four pixels. A = 16, B = AB = 4.
  const ThresholdScores missed = score_one({0, 0, 0, 0}, {1, 1, 1, 1}, 2, 2);
  EXPECT_EQ(missed.f, 0);
  EXPECT_TRUE(std::isnan(missed.precision));
  EXPECT_EQ(missed.rand.precision, 1);
  EXPECT_EQ(missed.rand.recall, 0.25);
  EXPECT_EQ(missed.rand.f, 0.4);
}

TEST(ThresholdScores, ATruthOfOneClassIsNamed) {
  ThresholdSums sums;
  EXPECT_EQ(missing_in_truth(sums), "no annotated pixel");
  sums.false_negative = 3;
  EXPECT_EQ(missing_in_truth(sums), "no membrane in the labels");
  sums.false_positive = 1;
  EXPECT_EQ(missing_in_truth(sums), "");
  sums.false_negative = 0;
  EXPECT_EQ(missing_in_truth(sums), "no interior in the labels");
}

TEST(ThresholdScores, CorrelationIsThatOfMatthews) {
  ThresholdSums sums;
  EXPECT_TRUE(std::isnan(correlation(sums)));
  sums.true_positive = 6;
  sums.true_negative = 3;
  sums.false_positive = 1;
  sums.false_negative = 2;
  EXPECT_NEAR(correlation(sums), (6 * 3 - 1 * 2) / std::sqrt(8.0 * 4 * 7 * 5), 1e-12);
  std::swap(sums.true_positive, sums.false_negative);
  std::swap(sums.true_negative, sums.false_positive);
  EXPECT_NEAR(correlation(sums), -(6 * 3 - 1 * 2) / std::sqrt(8.0 * 4 * 7 * 5), 1e-12);
  sums.true_positive = sums.false_positive = 0;
  EXPECT_TRUE(std::isnan(correlation(sums))) << "nothing is predicted as interior";
}

TEST(ThresholdScores, OnePixel) {
  EXPECT_EQ(score_one({1}, {1}, 1, 1).rand.f, 1);
  EXPECT_EQ(score_one({0}, {1}, 1, 1).rand.f, 1);
  EXPECT_EQ(score_one({0}, {1}, 1, 1).pixel_error, 1);
}

TEST(ThresholdScores, TheMeanExcludesSectionsWithoutInterior) {
  ThresholdTable table({0.5}, 3);
  table.section(0)[0].true_positive = 4;
  table.section(0)[0].rand = {.truth = 16, .predicted = 4, .both = 4};
  table.section(2)[0] = table.section(0)[0];
  EXPECT_EQ(volume_scores(table)[0].rand_f_macro, 0.4);
  EXPECT_TRUE(std::isnan(volume_scores(ThresholdTable({0.5}, 2))[0].rand_f_macro));
}

TEST(ThresholdScores, UndefinedScoresAreNeverTheBest) {
  std::vector<VolumeScores> scores(4);
  scores[2].pooled.f = 0;
  scores[3].pooled.pixel_error = 1;
  EXPECT_EQ(best_thresholds(scores).f, 2U);
  EXPECT_EQ(best_thresholds(scores).pixel_error, 3U);
  EXPECT_EQ(best_thresholds(scores).iou, 0U);
}

TEST(ThresholdScores, IntegersAreFractionsOfTheMaximum) {
  const Mask truth{1, 1, 1};
  const std::vector<double> thresholds{0.0, 0.5, 254.0 / 255.0};
  const std::vector<std::uint8_t> bytes{0, 128, 255};
  const std::vector<std::uint16_t> words{0, 32768, 65535};
  const auto from_bytes = score_section<std::uint8_t>(bytes, truth, 1, 3, thresholds);
  EXPECT_EQ(from_bytes.at(0).true_positive, 2);
  EXPECT_EQ(from_bytes.at(1).true_positive, 2);
  EXPECT_EQ(from_bytes.at(2).true_positive, 1);
  EXPECT_EQ(score_section<std::uint16_t>(words, truth, 1, 3, thresholds), from_bytes);
}

TEST(ThresholdScores, ThresholdsAccumulateInDouble) {
  const std::vector<double> thresholds = accumulated_thresholds(11);
  ASSERT_EQ(thresholds.size(), 11u);
  EXPECT_EQ(thresholds[3], 0.30000000000000004);
  EXPECT_EQ(thresholds[10], 0.9999999999999999);
  EXPECT_THROW(accumulated_thresholds(1), UsageError);
  EXPECT_THROW(accumulated_thresholds(5000), UsageError);
}

/// Reference labels by flood fill.
std::vector<int> flood_labels(const Mask& mask, int height, int width) {
  std::vector<int> labels(mask.size(), 0);
  int next = 0;
  for (std::size_t seed = 0; seed < mask.size(); ++seed) {
    if (mask[seed] == 0 || labels[seed] != 0) continue;
    std::vector<int> todo{static_cast<int>(seed)};
    labels[seed] = ++next;
    while (!todo.empty()) {
      const int y = todo.back() / width, x = todo.back() % width;
      todo.pop_back();
      for (const auto& [dy, dx] : {std::pair{-1, 0}, {1, 0}, {0, -1}, {0, 1}}) {
        if (y + dy < 0 || y + dy >= height || x + dx < 0 || x + dx >= width) continue;
        const auto at = static_cast<std::size_t>((y + dy) * width + x + dx);
        if (mask[at] == 0 || labels[at] != 0) continue;
        labels[at] = next;
        todo.push_back(static_cast<int>(at));
      }
    }
  }
  return labels;
}

TEST(ThresholdScores, ComponentsAndRandAgreeWithPairCounts) {
  std::mt19937 random(7);
  int compared = 0;
  for (int round = 0; round < 300; ++round) {
    const int height = 1 + static_cast<int>(random() % 9), width = 1 + static_cast<int>(random() % 9);
    Mask truth(static_cast<std::size_t>(height * width));
    std::vector<float> probability(truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
      truth[i] = random() % 4 != 0 ? 1 : 0;
      probability[i] = random() % 3 != 0 ? 0.9F : 0.1F;
    }
    Mask predicted(truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i)
      predicted[i] = probability[i] > 0.5F ? 1 : 0;
    const std::vector<int> objects = flood_labels(truth, height, width);
    std::vector<int> found = flood_labels(predicted, height, width);
    const Components components = label_components(predicted, height, width);
    EXPECT_EQ(std::vector<int>(components.labels.begin(), components.labels.end()), found);
    // Each background pixel inside the true interior is a separate object.
    int single = 1000;
    for (int& label : found) {
      if (label == 0) label = ++single;
    }
    // All ordered pairs of pixels, including pairs of a pixel with itself.
    double truth_pairs = 0, predicted_pairs = 0, both_pairs = 0;
    for (std::size_t a = 0; a < truth.size(); ++a) {
      for (std::size_t b = 0; b < truth.size(); ++b) {
        if (objects[a] == 0 || objects[b] == 0) continue;
        truth_pairs += objects[a] == objects[b];
        predicted_pairs += found[a] == found[b];
        both_pairs += objects[a] == objects[b] && found[a] == found[b];
      }
    }
    const std::vector<double> half{0.5};
    const ThresholdSums sums = score_section<float>(probability, truth, height, width, half).at(0);
    EXPECT_EQ(sums.rand.truth, truth_pairs);
    EXPECT_EQ(sums.rand.predicted, predicted_pairs);
    EXPECT_EQ(sums.rand.both, both_pairs);
    compared += truth_pairs > 0 ? 1 : 0;
  }
  EXPECT_GT(compared, 250);
}

TEST(ThresholdScores, FlatRoundTrip) {
  ThresholdTable table({0.2, 0.4}, 3);
  double next = 1;
  for (ThresholdSums& one : table.sums) {
    one.true_positive = next++;
    one.rand.both = next++;
    one.info_thin.truth = next++;
    one.warping.merges = next++;
    one.objects.matched.back() = next++;
  }
  ThresholdTable other({0.2, 0.4}, 3);
  other.set_flat(table.flat());
  EXPECT_EQ(other.sums, table.sums);
}

}  // namespace
}  // namespace tessera
