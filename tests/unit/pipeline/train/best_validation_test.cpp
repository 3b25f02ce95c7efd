#include "pipeline/train/best_validation.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tessera {
namespace {

ValidationScores scores(double pixel_error, double iou, double rand_f) {
  ValidationScores made;
  made.pixel_error = pixel_error;
  made.iou = iou;
  made.rand_f = rand_f;
  return made;
}

TEST(BestValidation, TheMetricDecides) {
  BestValidation error(ValidationMetric::pixel_error), iou(ValidationMetric::iou),
      rand(ValidationMetric::rand);
  for (BestValidation* one : {&error, &iou, &rand})
    EXPECT_TRUE(one->hear(scores(0.5, 0.5, 0.5))) << "the first is the best";
  const ValidationScores second = scores(0.4, 0.6, 0.3);
  EXPECT_TRUE(error.hear(second));
  EXPECT_TRUE(iou.hear(second));
  EXPECT_FALSE(rand.hear(second));
  EXPECT_EQ(error.score(), 0.4);
  EXPECT_EQ(iou.score(), 0.6);
  EXPECT_EQ(rand.score(), 0.5);
  for (BestValidation* one : {&error, &iou, &rand})
    EXPECT_FALSE(one->hear(scores(*error.score(), *iou.score(), *rand.score())))
        << "an equal score is not better";
}

TEST(BestValidation, CountsValidationsWithoutANewBest) {
  BestValidation best(ValidationMetric::rand);
  best.hear(scores(1, 0, 0.5));
  for (int i = 1; i <= 3; ++i) {
    best.hear(scores(0, 1, 0.1));
    EXPECT_EQ(best.without_best(), i);
  }
  EXPECT_FALSE(best.hear(scores(0, 1, NAN)));
  EXPECT_EQ(best.without_best(), 3) << "an undefined score is as no validation";
  EXPECT_TRUE(best.hear(scores(0, 1, 0.6)));
  EXPECT_EQ(best.without_best(), 0);
  BestValidation never(ValidationMetric::rand);
  EXPECT_FALSE(never.hear(scores(0, 1, NAN)));
  EXPECT_EQ(never.score(), std::nullopt);
  EXPECT_EQ(never.without_best(), 0);
}

TEST(BestValidation, ResumesFromACheckpoint) {
  BestValidation before(ValidationMetric::iou);
  Checkpoint checkpoint;
  before.store(checkpoint);
  EXPECT_TRUE(checkpoint.numbers.empty()) << "no best yet";
  before.hear(scores(0.5, 0.5, 0.5));
  before.hear(scores(0.5, 0.4, 0.5));
  before.hear(scores(0.5, 0.4, 0.5));
  before.store(checkpoint);
  BestValidation same(ValidationMetric::iou, checkpoint), other(ValidationMetric::rand, checkpoint);
  EXPECT_EQ(same.score(), 0.5);
  EXPECT_EQ(same.without_best(), 2);
  EXPECT_EQ(other.score(), std::nullopt) << "the best score of another metric is not used";
  EXPECT_EQ(other.without_best(), 0);
  EXPECT_TRUE(other.hear(scores(0.5, 0.4, 0.1)));

  EXPECT_TRUE(changes_on_resume(ValidationMetric::iou, false, checkpoint).empty());
  const std::vector<std::string> changes = changes_on_resume(ValidationMetric::rand, false, checkpoint);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_NE(changes[0].find("is one by iou, and train.validation_metric is rand now"), std::string::npos)
      << changes[0];
}

TEST(BestValidation, ReportsChangesOfTheAverage) {
  Checkpoint without, with;
  with.arrays["average/convs.0.weight"] = {};
  for (const auto& [checkpoint, averaging, message] :
       {std::tuple{&without, true, "holds no averaged weights"}, {&with, false, "which are dropped"}}) {
    const auto changes = changes_on_resume(ValidationMetric::iou, averaging, *checkpoint);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_NE(changes[0].find(message), std::string::npos) << changes[0];
    EXPECT_TRUE(changes_on_resume(ValidationMetric::iou, !averaging, *checkpoint).empty());
  }
}

}  // namespace
}  // namespace tessera
