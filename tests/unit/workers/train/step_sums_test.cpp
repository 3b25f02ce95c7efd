#include "workers/train/step_sums.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

at::Tensor classes_of(const std::vector<std::int64_t>& classes) {
  return at::tensor(classes, at::kLong).view({1, 1, static_cast<std::int64_t>(classes.size())});
}

TEST(StepSums, SumsThenDivides) {
  StepSums sums(at::kCPU);
  for (const double clip : {0.0, 2.5, 100.0}) {
    sums.clear();
    sums.add(at::scalar_tensor(6.0F), at::full({1, 1, 4}, 0.5), classes_of({0, 1, 1, 0}),
             classes_of({0, 0, 1, kIgnoredClass}));
    sums.add(at::scalar_tensor(3.0F), at::full({1, 1, 2}, 1.0), classes_of({1, 1}), classes_of({0, 0}));
    at::Tensor gradient = at::tensor(std::vector<float>{12, 16});
    sums.finish(gradient, clip);
    const double length = clip == 2.5 ? 2.5 : 5;
    EXPECT_NEAR(gradient[0].item<double>(), 0.6 * length, 1e-5) << clip;
    EXPECT_NEAR(gradient[1].item<double>(), 0.8 * length, 1e-5) << clip;
  }
  const std::vector<StepSums::Means> rows = sums.read();
  ASSERT_EQ(rows.size(), 3U) << "all steps since the last read";
  for (const StepSums::Means& row : rows) {
    EXPECT_DOUBLE_EQ(row.loss, 9.0 / 4);
    EXPECT_DOUBLE_EQ(row.pixel_error, 3.0 / 5);
    EXPECT_NEAR(row.gradient_norm, 5, 1e-12);
  }
  EXPECT_TRUE(sums.read().empty());
}

TEST(StepSums, ZeroWeightGivesZeroGradient) {
  StepSums sums(at::kCPU);
  sums.add(at::scalar_tensor(0.0F), at::zeros({1, 1, 1}), classes_of({1}), classes_of({kIgnoredClass}));
  at::Tensor gradient = at::zeros({3});
  sums.finish(gradient, 1);
  EXPECT_EQ(gradient.abs().max().item<double>(), 0);
  const StepSums::Means row = sums.read().front();
  EXPECT_EQ(row.loss, 0);
  EXPECT_TRUE(std::isnan(row.pixel_error)) << "no pixel was judged";
  EXPECT_TRUE(std::isnan(sums.means().pixel_error));
  EXPECT_EQ(row.gradient_norm, 0);
}

TEST(StepSums, ReportsANonFiniteGradient) {
  StepSums sums(at::kCPU);
  sums.add(at::scalar_tensor(1.0F), at::ones({1, 1, 1}), classes_of({1}), classes_of({1}));
  at::Tensor gradient = at::tensor(std::vector<float>{1, std::numeric_limits<float>::quiet_NaN()});
  sums.finish(gradient, 1);
  EXPECT_TRUE(std::isnan(sums.read().front().gradient_norm));
}

}  // namespace
}  // namespace tessera
