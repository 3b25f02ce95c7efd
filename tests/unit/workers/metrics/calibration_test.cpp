#include "workers/metrics/calibration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "workers/metrics/class_scores.h"
#include "workers/metrics/ignored_class.h"

namespace tessera {
namespace {

using Bytes = std::vector<std::uint8_t>;

ProbabilityHistogram histogram_of(const Bytes& probability, const Bytes& truth) {
  ProbabilityHistogram histogram(256);
  calibrate_section<std::uint8_t>(probability, truth, histogram);
  return histogram;
}

TEST(Calibration, CurveAndAveragePrecisionByCounting) {
  std::mt19937 random(4);
  Bytes probability(500), truth(500);
  for (std::size_t i = 0; i < 500; ++i) {
    truth[i] = random() % 3 == 0 ? 1 : 0;
    probability[i] = static_cast<std::uint8_t>(random() % 156 + (truth[i] != 0 ? 100 : 0));
  }
  const ProbabilityHistogram histogram = histogram_of(probability, truth);
  const auto curve = precision_recall_curve(histogram);
  ASSERT_EQ(curve.size(), 256U);
  double expected = 0, recall_before = 0;
  for (int level = 255; level >= 0; --level) {
    double correct = 0, positive = 0, all = 0;
    for (std::size_t i = 0; i < 500; ++i) {
      all += truth[i];
      positive += probability[i] >= level ? 1 : 0;
      correct += probability[i] >= level ? truth[i] : 0;
    }
    const PrecisionRecallPoint& point = curve[static_cast<std::size_t>(level)];
    if (positive == 0)
      EXPECT_TRUE(std::isnan(point.precision)) << "0 of 0";
    else
      EXPECT_DOUBLE_EQ(point.precision, correct / positive);
    EXPECT_DOUBLE_EQ(point.recall, correct / all);
    EXPECT_DOUBLE_EQ(point.threshold, level / 255.0);
    if (positive > 0) expected += (correct / all - recall_before) * correct / positive;
    recall_before = correct / all;
  }
  EXPECT_NEAR(average_precision(histogram), expected, 1e-12);
  EXPECT_GT(expected, 0.4);
}

TEST(Calibration, FloatAndUint16Agree) {
  std::vector<float> values{0.0F, 0.25F, 0.5F, 0.75F, 1.0F, 1.000005F};
  const Bytes truth{0, 0, 1, 0, 1, 1};
  std::vector<std::uint16_t> words;
  for (const float value : values)
    words.push_back(static_cast<std::uint16_t>(std::min(value, 1.0F) * 65535.0F + 0.5F));
  ProbabilityHistogram floats(4096), ints(4096);
  calibrate_section<float>(values, truth, floats);
  calibrate_section<std::uint16_t>(words, truth, ints);
  EXPECT_NEAR(average_precision(floats), average_precision(ints), 1e-12);
  EXPECT_NEAR(average_precision(floats), 2.0 / 3 * 1 + 1.0 / 3 * 0.75, 1e-12);
}

TEST(Calibration, BinsHoldFrequencies) {
  const std::vector<float> values{0.05F, 0.05F, 0.05F, 0.05F, 0.95F, 0.95F};
  const Bytes truth{0, 0, 0, 1, 1, 1};
  ProbabilityHistogram histogram(4096);
  const CalibrationSums sums = calibrate_section<float>(values, truth, histogram);
  EXPECT_EQ(sums.bins[0].pixels, 4);
  EXPECT_EQ(sums.bins[0].interior, 1);
  EXPECT_NEAR(sums.bins[0].probability, 0.2, 1e-6);
  EXPECT_EQ(sums.bins[9].pixels, 2);
  const CalibrationScores scores = scores_of(sums);
  EXPECT_NEAR(scores.expected_error, (4 * 0.2 + 2 * 0.05) / 6, 1e-6);
  EXPECT_NEAR(scores.largest_error, 0.2, 1e-6);
  EXPECT_NEAR(scores.brier, (3 * 0.0025 + 0.9025 + 2 * 0.0025) / 6, 1e-6);
}

TEST(Calibration, DegenerateSections) {
  EXPECT_TRUE(std::isnan(average_precision(histogram_of({1, 2}, {0, 0})))) << "no positive pixels";
  EXPECT_EQ(average_precision(histogram_of({1, 2}, {1, 1})), 1);
  EXPECT_TRUE(std::isnan(average_precision(histogram_of({}, {}))));
  EXPECT_TRUE(std::isnan(scores_of(CalibrationSums{}).expected_error));
  EXPECT_TRUE(std::isnan(scores_of(CalibrationSums{}).largest_error));
  EXPECT_TRUE(std::isnan(scores_of(CalibrationSums{}).brier));
}

TEST(Calibration, IgnoredPixelsAreInNoSum) {
  const std::vector<float> values{0.3F, 0.9F, 0.4F};
  const Bytes truth{0, kIgnoredClass, 1};
  ProbabilityHistogram histogram(4096), expected(4096);
  const CalibrationSums sums = calibrate_section<float>(values, truth, histogram);
  const CalibrationSums without =
      calibrate_section<float>(std::vector<float>{0.3F, 0.4F}, Bytes{0, 1}, expected);
  EXPECT_EQ(histogram.counts, expected.counts);
  EXPECT_EQ(sums.squared_error, without.squared_error);
  EXPECT_EQ(sums.bins[9].pixels, 0);
}

TEST(ClassScores, ByHand) {
  ConfusionMatrix matrix;
  matrix.add(0, 0, 5);
  matrix.add(0, 1, 1);
  matrix.add(1, 1, 2);
  matrix.add(3, 1, 2);
  const ConfusionMatrix trimmed = matrix.trimmed();
  ASSERT_EQ(trimmed.classes, 4);
  const ConfusionScores scores = scores_of(trimmed);
  EXPECT_DOUBLE_EQ(scores.accuracy, 0.7);
  EXPECT_DOUBLE_EQ(scores.classes[0].iou, 5.0 / 6);
  EXPECT_DOUBLE_EQ(scores.classes[0].dice, 10.0 / 11);
  EXPECT_DOUBLE_EQ(scores.classes[1].iou, 2.0 / 5);
  EXPECT_DOUBLE_EQ(scores.classes[1].precision, 2.0 / 5);
  EXPECT_EQ(scores.classes[1].recall, 1);
  EXPECT_TRUE(std::isnan(scores.classes[2].iou)) << "class 2 is absent";
  EXPECT_EQ(scores.classes[3].iou, 0);
  EXPECT_DOUBLE_EQ(scores.mean_iou, (5.0 / 6 + 2.0 / 5 + 0) / 3);
}

TEST(ClassScores, WithoutVoxels) {
  const ConfusionScores scores = scores_of(ConfusionMatrix().trimmed());
  EXPECT_TRUE(std::isnan(scores.accuracy));
  EXPECT_TRUE(std::isnan(scores.mean_iou));
  EXPECT_EQ(scores.classes.size(), 1U);
}

}  // namespace
}  // namespace tessera
