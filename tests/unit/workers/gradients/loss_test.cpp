#include "workers/gradients/loss.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>

#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

struct Problem {
  at::Tensor logits, classes, weights;
};

Problem random_problem(std::int64_t classes, at::ScalarType type) {
  at::manual_seed(1);
  const std::int64_t labels = std::max<std::int64_t>(2, classes);
  return {at::randn({2, classes, 3, 4}).mul(3).to(type), at::randint(labels, {2, 3, 4}, at::kLong),
          at::rand({2, 3, 4}).to(type)};
}

/// -log of the probability of the true class, times the weight, pixel by pixel.
double naive_loss(const Problem& problem) {
  const at::Tensor logits = problem.logits.to(at::kDouble), weights = problem.weights.to(at::kDouble);
  double sum = 0;
  for (std::int64_t b = 0; b < logits.size(0); ++b) {
    for (std::int64_t y = 0; y < logits.size(2); ++y) {
      for (std::int64_t x = 0; x < logits.size(3); ++x) {
        const auto truth = problem.classes[b][y][x].item<std::int64_t>();
        double p = 0;
        if (logits.size(1) == 1) {
          p = 1 / (1 + std::exp((truth == 1 ? -1 : 1) * logits[b][0][y][x].item<double>()));
        } else {
          double total = 0;
          for (std::int64_t c = 0; c < logits.size(1); ++c)
            total += std::exp(logits[b][c][y][x].item<double>());
          p = std::exp(logits[b][truth][y][x].item<double>()) / total;
        }
        sum -= weights[b][y][x].item<double>() * std::log(p);
      }
    }
  }
  return sum;
}

at::Tensor gradient_of(Problem problem) {
  at::Tensor logits = problem.logits.detach().clone().requires_grad_(true);
  weighted_cross_entropy_sum(logits, problem.classes, problem.weights).backward();
  return logits.grad();
}

class Loss : public ::testing::TestWithParam<std::int64_t> {};

TEST_P(Loss, EqualsTheNaiveSum) {
  const Problem problem = random_problem(GetParam(), at::kFloat);
  const double loss =
      weighted_cross_entropy_sum(problem.logits, problem.classes, problem.weights).item<double>();
  EXPECT_NEAR(loss, naive_loss(problem), 1e-5 * loss);
  EXPECT_GT(loss, 0);
}

TEST_P(Loss, GradientEqualsFiniteDifferences) {
  const Problem problem = random_problem(GetParam(), at::kDouble);
  const at::Tensor gradient = gradient_of(problem).flatten();
  const at::Tensor flat = problem.logits.flatten();
  ASSERT_GT(flat.numel(), 20);
  constexpr double kStep = 1e-6;
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const auto loss_at = [&](double step) {
      const at::Tensor moved = flat.clone();
      moved[i] += step;
      return naive_loss({moved.view(problem.logits.sizes()), problem.classes, problem.weights});
    };
    EXPECT_NEAR(gradient[i].item<double>(), (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep), 1e-7);
  }
}

TEST_P(Loss, ExtremeLogitsStayFinite) {
  Problem problem = random_problem(GetParam(), at::kFloat);
  problem.logits = problem.logits.sign() * 1e4;
  problem.classes.zero_();
  problem.classes.select(2, 0).fill_(1);
  EXPECT_TRUE(std::isfinite(
      weighted_cross_entropy_sum(problem.logits, problem.classes, problem.weights).item<double>()));
  EXPECT_TRUE(gradient_of(problem).isfinite().all().item<bool>());
}

// A blank input gives logits of exactly 0.
TEST_P(Loss, GradientAtZeroIsThatOfEqualProbabilities) {
  Problem problem = random_problem(GetParam(), at::kDouble);
  problem.logits.zero_();
  const double p = 1.0 / static_cast<double>(std::max<std::int64_t>(2, GetParam()));
  const at::Tensor first = GetParam() == 1 ? problem.classes.eq(1) : problem.classes.eq(0);
  const at::Tensor expected = problem.weights * (p - first.to(at::kDouble));
  EXPECT_LT((gradient_of(problem).select(1, 0) - expected).abs().max().item<double>(), 1e-12);
}

/// Cross-entropy and, for each sample, dice_weight * its weight * (1 - Dice), pixel by pixel; ignored pixels
/// left out.
double naive_loss_sum(Problem problem, double dice_weight) {
  const at::Tensor ignored = problem.classes.eq(kIgnoredClass);
  problem.weights = problem.weights.masked_fill(ignored, 0);
  const at::Tensor truth = problem.classes.masked_fill(ignored, 0);
  double loss = naive_loss({problem.logits, truth, problem.weights});
  const bool one = problem.logits.size(1) == 1;
  const at::Tensor odds = problem.logits.to(at::kDouble).exp();
  for (std::int64_t b = 0; b < problem.logits.size(0); ++b) {
    double dice = 0;
    const std::int64_t last = one ? 1 : problem.logits.size(1) - 1;
    for (std::int64_t c = 1; c <= last; ++c) {
      double overlap = 0, sum = 0;
      for (std::int64_t y = 0; y < problem.logits.size(2); ++y) {
        for (std::int64_t x = 0; x < problem.logits.size(3); ++x) {
          if (ignored[b][y][x].item<bool>()) continue;
          const double own = odds[b][one ? 0 : c][y][x].item<double>();
          const double total = one ? 1 + own : odds[b].select(1, y).select(1, x).sum().item<double>();
          const double t = problem.classes[b][y][x].item<std::int64_t>() == c ? 1 : 0;
          overlap += own / total * t;
          sum += own / total + t;
        }
      }
      dice += (2 * overlap + 1) / (sum + 1) / static_cast<double>(last);
    }
    loss += dice_weight * problem.weights[b].sum().item<double>() * (1 - dice);
  }
  return loss;
}

TEST_P(Loss, DiceAndIgnoredPixelsAndTheGradient) {
  Problem problem = random_problem(GetParam(), at::kDouble);
  problem.classes[0][1][2] = kIgnoredClass;
  problem.classes[1].select(1, 0).fill_(kIgnoredClass);
  problem.weights = problem.weights.masked_fill(problem.classes.eq(kIgnoredClass), 0);
  for (const double dice_weight : {0.0, 0.7}) {
    at::Tensor logits = problem.logits.detach().clone().requires_grad_(true);
    const at::Tensor loss = loss_sum(logits, problem.classes, problem.weights, dice_weight);
    EXPECT_NEAR(loss.item<double>(), naive_loss_sum(problem, dice_weight), 1e-10 * loss.item<double>());
    loss.backward();
    const at::Tensor gradient = logits.grad().flatten(), flat = problem.logits.flatten();
    constexpr double kStep = 1e-6;
    for (std::int64_t i = 0; i < flat.numel(); ++i) {
      const auto loss_at = [&](double step) {
        const at::Tensor moved = flat.clone();
        moved[i] += step;
        return naive_loss_sum({moved.view(problem.logits.sizes()), problem.classes, problem.weights},
                              dice_weight);
      };
      ASSERT_NEAR(gradient[i].item<double>(), (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep), 1e-7);
    }
    EXPECT_EQ(logits.grad().select(0, 0).select(1, 1).select(1, 2).abs().max().item<double>(), 0)
        << "ignored";
  }
}

TEST_P(Loss, IgnoredPixelsHaveNoEffect) {
  Problem problem = random_problem(GetParam(), at::kDouble), without = problem;
  problem.classes = problem.classes.clone();
  problem.classes[0][1][2] = kIgnoredClass;
  without.weights = problem.weights.clone();
  without.weights[0][1][2] = 0;
  const double found =
      weighted_cross_entropy_sum(problem.logits, problem.classes, problem.weights).item<double>();
  EXPECT_NEAR(found,
              weighted_cross_entropy_sum(without.logits, without.classes, without.weights).item<double>(),
              1e-12);
}

// The mean over a batch does not depend on how the batch is split.
TEST_P(Loss, IsASumOverSamples) {
  const Problem problem = random_problem(GetParam(), at::kDouble);
  double sum = 0;
  for (std::int64_t b = 0; b < 2; ++b) {
    sum += loss_sum(problem.logits.narrow(0, b, 1), problem.classes.narrow(0, b, 1),
                    problem.weights.narrow(0, b, 1), 0.5)
               .item<double>();
  }
  EXPECT_NEAR(sum, loss_sum(problem.logits, problem.classes, problem.weights, 0.5).item<double>(),
              1e-10 * sum);
}

TEST(Dice, IsZeroWhenAllIsRightAndNearlyOneWhenAllIsWrong) {
  at::Tensor classes = at::zeros({2, 8, 8}, at::kLong);
  classes.narrow(2, 0, 4).fill_(1);
  at::Tensor logits = at::zeros({2, 2, 8, 8}, at::kDouble);
  const at::Tensor sign = classes * 2 - 1;
  logits.select(1, 1).copy_(sign * 50);
  logits[1] = -logits[1];
  const at::Tensor losses = dice_losses(logits, classes);
  EXPECT_NEAR(losses[0].item<double>(), 0, 1e-12);
  EXPECT_NEAR(losses[1].item<double>(), 1 - 1.0 / 65, 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Classes, Loss, ::testing::Values(1, 2, 4));

TEST(LossOfOneClass, IsExactFarFromTheBorder) {
  const at::Tensor logits = at::full({1, 1, 1, 2}, 1e4), weights = at::ones({1, 1, 2});
  at::Tensor classes = at::zeros({1, 1, 2}, at::kLong);
  classes[0][0][1] = 1;
  EXPECT_EQ(weighted_cross_entropy_sum(logits, classes, weights).item<float>(), 1e4F);
  EXPECT_EQ(weighted_cross_entropy_sum(-logits, classes, weights).item<float>(), 1e4F);
}

TEST(LossOfPixels, PixelsWithoutWeightHaveNoLoss) {
  Problem problem = random_problem(2, at::kFloat);
  problem.weights.zero_();
  EXPECT_EQ(weighted_cross_entropy_sum(problem.logits, problem.classes, problem.weights).item<float>(), 0);
}

}  // namespace
}  // namespace tessera
