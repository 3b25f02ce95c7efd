#include "workers/train/optimizer.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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
    optimizer.step(parameters, at::tensor(gradient, at::kFloat), ++iteration);
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
  optimizer.step(p, at::full({1}, 2.0), 1);
  EXPECT_FLOAT_EQ(p.item<float>(), 1 - 0.1 * 2);
  optimizer.step(p, at::full({1}, 1.0), 2);
  EXPECT_FLOAT_EQ(p.item<float>(), 0.8 - 0.1 * (0.99 * 2 + 1));
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
  optimizer.step(p, at::tensor({1e-3F, -50.0F}), 1);
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

}  // namespace
}  // namespace tessera
