#include "workers/train/optimizer.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "workers/train/gradient_norm.h"
#include "workers/train/learning_rate_schedule.h"
#include "workers/train/weight_average.h"

namespace tessera {
namespace {

/// Gradients of a few steps on three parameters, one of them always 0.
const std::vector<std::vector<double>> kGradients{{1, -2, 0}, {0.5, 3, 0}, {-1, 0.25, 0}, {2, 2, 0}};
const std::vector<double> kStart{1, -1, 4};

std::vector<double> after_steps(const OptimizerOptions& options) {
  at::Tensor parameters = at::tensor(kStart, at::kFloat);
  Optimizer optimizer(options, parameters);
  std::int64_t iteration = 0;
  for (const auto& gradient : kGradients)
    optimizer.step(parameters, at::tensor(gradient, at::kFloat), ++iteration, options.learning_rate);
  std::vector<double> result;
  for (std::int64_t i = 0; i < 3; ++i)
    result.push_back(parameters[i].item<double>());
  return result;
}

std::vector<double> naive_sgd(const OptimizerOptions& options) {
  std::vector<double> p = kStart, v(3, 0);
  for (const auto& gradient : kGradients) {
    for (std::size_t i = 0; i < 3; ++i) {
      v[i] = options.momentum * v[i] + gradient[i] + options.weight_decay * p[i];
      p[i] -= options.learning_rate * v[i];
    }
  }
  return p;
}

/// Algorithm 1 of Kingma and Ba 2015.
std::vector<double> naive_adam(const OptimizerOptions& options) {
  std::vector<double> p = kStart, m(3, 0), v(3, 0);
  int t = 0;
  for (const auto& gradient : kGradients) {
    ++t;
    for (std::size_t i = 0; i < 3; ++i) {
      const double g = gradient[i] + options.weight_decay * p[i];
      m[i] = options.beta1 * m[i] + (1 - options.beta1) * g;
      v[i] = options.beta2 * v[i] + (1 - options.beta2) * g * g;
      const double m_hat = m[i] / (1 - std::pow(options.beta1, t)),
                   v_hat = v[i] / (1 - std::pow(options.beta2, t));
      p[i] -= options.learning_rate * m_hat / (std::sqrt(v_hat) + options.epsilon);
    }
  }
  return p;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(found[i], expected[i], 2e-6 * std::abs(expected[i])) << i;
}

OptimizerOptions options_of(OptimizerOptions::Kind kind, double weight_decay) {
  OptimizerOptions options;
  options.kind = kind;
  options.learning_rate = 0.1;
  options.weight_decay = weight_decay;
  return options;
}

TEST(Sgd, MomentumByHand) {
  OptimizerOptions options = options_of(OptimizerOptions::Kind::sgd, 0);
  EXPECT_EQ(options.momentum, 0.99) << "the paper's";
  at::Tensor p = at::ones({1});
  Optimizer optimizer(options, p);
  optimizer.step(p, at::full({1}, 2.0), 1, options.learning_rate);
  EXPECT_FLOAT_EQ(p.item<float>(), 1 - 0.1 * 2);
  optimizer.step(p, at::full({1}, 1.0), 2, 0.01);
  EXPECT_FLOAT_EQ(p.item<float>(), 0.8 - 0.01 * (0.99 * 2 + 1)) << "the rate is that of the step";
}

TEST(Sgd, EqualsTheNaiveLoop) {
  for (const double decay : {0.0, 0.05}) {
    const OptimizerOptions options = options_of(OptimizerOptions::Kind::sgd, decay);
    expect_near(after_steps(options), naive_sgd(options));
  }
  EXPECT_EQ(after_steps(options_of(OptimizerOptions::Kind::sgd, 0))[2], 4) << "no gradient, no step";
  EXPECT_LT(after_steps(options_of(OptimizerOptions::Kind::sgd, 0.05))[2], 4) << "weights decay";
}

TEST(Adam, TheFirstStepIsTheLearningRate) {
  at::Tensor p = at::zeros({2});
  Optimizer optimizer(options_of(OptimizerOptions::Kind::adam, 0), p);
  optimizer.step(p, at::tensor({1e-3F, -50.0F}), 1, 0.1);
  EXPECT_NEAR(p[0].item<double>(), -0.1, 1e-5);
  EXPECT_NEAR(p[1].item<double>(), 0.1, 1e-5);
}

TEST(Adam, EqualsTheNaiveLoop) {
  for (const double decay : {0.0, 0.05}) {
    const OptimizerOptions options = options_of(OptimizerOptions::Kind::adam, decay);
    expect_near(after_steps(options), naive_adam(options));
  }
  OptimizerOptions other = options_of(OptimizerOptions::Kind::adam, 0);
  other.beta1 = 0.5;
  other.beta2 = 0.9;
  other.epsilon = 0.1;
  expect_near(after_steps(other), naive_adam(other));
}

// A weight without a gradient: Adam's decay moves it by the rate, AdamW's by rate * decay * weight.
TEST(AdamW, DecayIsDecoupledFromTheGradient) {
  for (const auto& [kind, expected] : {std::pair{OptimizerOptions::Kind::adam, 4 - 0.1},
                                       {OptimizerOptions::Kind::adamw, 4 - 0.1 * 0.05 * 4}}) {
    at::Tensor p = at::full({1}, 4.0);
    Optimizer optimizer(options_of(kind, 0.05), p);
    optimizer.step(p, at::zeros({1}), 1, 0.1);
    EXPECT_NEAR(p.item<double>(), expected, 1e-6);
  }
}

// Long enough for every loop's vector part and its rest, and for several threads.
TEST(Optimizer, OnePassEqualsLibTorchsOperators) {
  const std::int64_t count = 200003;
  for (const auto kind :
       {OptimizerOptions::Kind::sgd, OptimizerOptions::Kind::adam, OptimizerOptions::Kind::adamw}) {
    const OptimizerOptions options = options_of(kind, 0.05);
    at::manual_seed(7);
    at::Tensor single = at::randn({count}, at::kFloat), exact = single.to(at::kDouble);
    Optimizer one_pass(options, single), operators(options, exact);
    for (std::int64_t t = 1; t <= 5; ++t) {
      const at::Tensor gradient = at::randn({count}, at::kFloat);
      one_pass.step(single, gradient, t, 0.1);
      operators.step(exact, gradient.to(at::kDouble), t, 0.1);
    }
    EXPECT_LT((single - exact).abs().max().item<double>(), 5e-6) << static_cast<int>(kind);
  }
}

/// What PyTorch makes of the same vector (tests/golden/make_optimizers.py).
const nlohmann::json& golden() {
  static const nlohmann::json read =
      nlohmann::json::parse(std::ifstream(std::string(TESSERA_GOLDEN) + "/optimizers.json"));
  return read;
}

/// One case of the golden file, set up as that was.
struct GoldenCase {
  const char* name;
  OptimizerOptions::Kind kind = OptimizerOptions::Kind::sgd;
  double weight_decay = 0;
  bool other_betas = false;
  LearningRateSchedule schedule = {};
  double clip = 0, average_decay = 0;
};

void PrintTo(const GoldenCase& one, std::ostream* out) {
  *out << one.name;
}

LearningRateSchedule schedule_of(LearningRateSchedule::Kind kind, std::int64_t warm_up = 0) {
  LearningRateSchedule schedule;
  schedule.kind = kind;
  schedule.iterations = 20;
  schedule.warm_up = warm_up;
  schedule.step_every = 6;
  schedule.step_factor = 0.5;
  return schedule;
}

std::vector<GoldenCase> golden_cases() {
  using OptimizerKind = OptimizerOptions::Kind;
  using Schedule = LearningRateSchedule::Kind;
  LearningRateSchedule cosine = schedule_of(Schedule::cosine),
                       polynomial = schedule_of(Schedule::polynomial, 5);
  cosine.floor = 0.1;
  polynomial.power = 2;
  return {{.name = "sgd"},
          {.name = "sgd_decay", .weight_decay = 0.1},
          {.name = "adam", .kind = OptimizerKind::adam},
          {.name = "adam_decay", .kind = OptimizerKind::adam, .weight_decay = 0.1, .other_betas = true},
          {.name = "adamw", .kind = OptimizerKind::adamw, .weight_decay = 0.1, .other_betas = true},
          {.name = "clip", .clip = 2},
          {.name = "average", .average_decay = 0.6},
          {.name = "step", .schedule = schedule_of(Schedule::step)},
          {.name = "polynomial", .schedule = schedule_of(Schedule::polynomial)},
          {.name = "cosine", .schedule = cosine},
          {.name = "polynomial_warm", .schedule = polynomial},
          {.name = "all",
           .kind = OptimizerKind::adamw,
           .weight_decay = 0.1,
           .schedule = schedule_of(Schedule::cosine, 5),
           .clip = 2,
           .average_decay = 0.6}};
}

class GoldenOptimizer : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(GoldenOptimizer, EqualsPyTorch) {
  const GoldenCase& one = GetParam();
  const nlohmann::json& expected = golden()["cases"][one.name];
  const auto start = golden()["start"].get<std::vector<double>>();
  const auto gradients = golden()["gradients"].get<std::vector<std::vector<double>>>();
  ASSERT_EQ(gradients.size(), 20U);
  OptimizerOptions options;
  options.kind = one.kind;
  options.learning_rate = golden()["rate"];
  options.weight_decay = one.weight_decay;
  if (one.other_betas) options.beta1 = 0.8, options.beta2 = 0.95;
  // float32: the loops of the CPU; float64: the operators that CUDA uses.
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    at::Tensor parameters = at::tensor(start, type);
    Optimizer optimizer(options, parameters);
    WeightAverage average(one.average_decay, parameters);
    const auto expect_near = [&](const at::Tensor& found, const nlohmann::json& values, std::size_t step) {
      const at::Tensor exact = at::tensor(values.get<std::vector<double>>(), at::kDouble);
      const at::Tensor difference = (found.to(at::kDouble) - exact) / exact.abs().clamp_min(1);
      EXPECT_LT(difference.abs().max().item<double>(), 1e-6) << "step " << step << ", " << type;
    };
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const auto iteration = static_cast<std::int64_t>(i) + 1;
      at::Tensor gradient = at::tensor(gradients[i], type);
      const double norm = gradient_norm(gradient);
      EXPECT_NEAR(norm, expected["norms"][i].get<double>(), 1e-6);
      if (one.clip > 0) gradient.mul_(clip_factor(norm, one.clip));
      const double rate = options.learning_rate * learning_rate_factor(one.schedule, iteration, 0);
      EXPECT_NEAR(rate, expected["rates"][i].get<double>(), 1e-9) << "step " << i;
      optimizer.step(parameters, gradient, iteration, rate);
      average.update(parameters, iteration);
      expect_near(parameters, expected["values"][i], i);
      if (one.average_decay > 0) expect_near(average.values(), expected["averages"][i], i);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenOptimizer, ::testing::ValuesIn(golden_cases()),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(GradientNorm, IsExactForAnyLengthAndDetectsNonFiniteValues) {
  for (const std::int64_t count : {1, 7, 65536, 65537, 200003}) {
    at::Tensor gradient = at::full({count}, 0.25);
    EXPECT_DOUBLE_EQ(gradient_norm(gradient), 0.25 * std::sqrt(static_cast<double>(count)));
    EXPECT_DOUBLE_EQ(gradient_norm(gradient.to(at::kDouble)), 0.25 * std::sqrt(static_cast<double>(count)));
    gradient[count - 1] = 3e38;
    EXPECT_TRUE(std::isfinite(gradient_norm(gradient))) << "squares do not overflow";
    gradient[count - 1] = INFINITY;
    EXPECT_FALSE(std::isfinite(gradient_norm(gradient)));
    gradient[count - 1] = NAN;
    EXPECT_FALSE(std::isfinite(gradient_norm(gradient)));
  }
  EXPECT_EQ(gradient_norm(at::zeros({9})), 0);
}

TEST(Clip, OnlyShortens) {
  EXPECT_EQ(clip_factor(0.5, 1), 1);
  EXPECT_EQ(clip_factor(0, 1), 1);
  EXPECT_NEAR(clip_factor(4, 1), 0.25, 1e-6);
}

TEST(WeightAverage, StartsAsTheParametersAndLagsBehind) {
  const at::Tensor start = at::full({3}, 2.0);
  WeightAverage average(0.999, start);
  EXPECT_TRUE(average.values().equal(start));
  EXPECT_FALSE(average.values().is_alias_of(start));
  average.update(at::zeros({3}), 1);
  EXPECT_NEAR(average.values()[0].item<double>(), 2 * 2.0 / 11, 1e-6) << "(1 + 1) / (10 + 1) is kept";
  average.update(at::zeros({3}), 1000000);
  EXPECT_NEAR(average.values()[0].item<double>(), 4.0 / 11 * 0.999, 1e-6) << "the decay is kept";
}

}  // namespace
}  // namespace tessera
