#include "workers/gradients/gradient_engine.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gradient_cases.h"
#include "io/base/error.h"
#include "tests/unit/bfloat16_support.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using testing::cases;
using testing::cosine;
using testing::expect_final_when_said;
using testing::GradientCase;
using testing::parameters_of;
using testing::Pass;
using testing::relative_difference;
using testing::run;
using testing::small;

class Gradients : public ::testing::TestWithParam<GradientCase> {
 protected:
  void SetUp() override {
    if (!has_onednn_gradients(GetParam().options)) GTEST_SKIP() << "this build has no oneDNN";
  }
};

TEST_P(Gradients, EqualAutomaticDifferentiation) {
  const UNetOptions& options = GetParam().options;
  const std::int64_t height = geometry_of(options).input_side_for(GetParam().height),
                     width = geometry_of(options).input_side_for(GetParam().width);
  FlatParameters parameters = parameters_of(options);
  const auto reference = make_autograd_engine(parameters, Precision::float32),
             engine = make_gradient_engine(parameters, Precision::float32);
  // Rounding gives 1e-6. Where it turns a ReLU that is nearly 0, which is rare, a path's gradient comes or
  // goes in all layers behind it: what is wrong is wrong for every seed.
  double least = 1e300;
  for (const int seed : {5, 105, 205}) {
    const Pass expected = run(*reference, parameters, height, width, 2, seed);
    const Pass found = run(*engine, parameters, height, width, 2, seed);
    EXPECT_LT(relative_difference(found.logits, expected.logits), 1e-5);
    double worst = 0;
    for (const auto& entry : parameters.entries()) {
      const at::Tensor right = FlatParameters::piece(expected.gradient, entry);
      ASSERT_GT(right.norm().item<double>(), 0) << entry.name;
      const double difference = relative_difference(FlatParameters::piece(found.gradient, entry), right);
      EXPECT_LT(difference, 1e-2) << entry.name << ", seed " << seed;
      worst = std::max(worst, difference);
    }
    least = std::min(least, worst);
  }
  EXPECT_LT(least, 1e-4);
}

TEST_P(Gradients, InBfloat16PointTheSameWay) {
  const UNetOptions& options = GetParam().options;
  if (has_onednn_gradients(options) && !testing::cpu_trains_in_bfloat16())
    GTEST_SKIP() << "oneDNN has no bfloat16 on this processor";
  const std::int64_t height = geometry_of(options).input_side_for(GetParam().height),
                     width = geometry_of(options).input_side_for(GetParam().width);
  FlatParameters parameters = parameters_of(options);
  const Pass expected = run(*make_gradient_engine(parameters, Precision::float32), parameters, height, width);
  const auto engine = make_gradient_engine(parameters, Precision::bfloat16);
  const Pass found = run(*engine, parameters, height, width);
  EXPECT_EQ(found.gradient.scalar_type(), at::kFloat);
  EXPECT_LT(relative_difference(found.logits, expected.logits), 0.03);
  EXPECT_GT(cosine(found.gradient, expected.gradient), 0.97);
}

TEST_P(Gradients, AreReadyFromTheFront) {
  const UNetOptions& options = GetParam().options;
  const std::int64_t height = geometry_of(options).input_side_for(GetParam().height),
                     width = geometry_of(options).input_side_for(GetParam().width);
  FlatParameters parameters = parameters_of(options);
  const auto engine = make_gradient_engine(parameters, Precision::float32);
  const Pass pass = run(*engine, parameters, height, width);
  ASSERT_GT(pass.ready.size(), 5U);
  EXPECT_TRUE(std::is_sorted(pass.ready.begin(), pass.ready.end()));
  EXPECT_EQ(pass.ready.back(), parameters.values().numel());
  expect_final_when_said(*engine, parameters, height, width);
}

INSTANTIATE_TEST_SUITE_P(Networks, Gradients, ::testing::ValuesIn(cases()),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(OneDnnGradients, DropoutFollowsItsSeed) {
  const UNetOptions options = small([](auto& o) { o.dropout = 0.5; });
  if (!has_onednn_gradients(options)) GTEST_SKIP() << "this build has no oneDNN";
  FlatParameters parameters = parameters_of(options);
  const auto engine = make_gradient_engine(parameters, Precision::float32);
  const at::Tensor input = at::ones({1, 1, 60, 60});
  const at::Tensor first = engine->forward(input, 1), second = engine->forward(input, 2),
                   again = engine->forward(input, 1);
  EXPECT_TRUE(at::equal(first, again));
  EXPECT_FALSE(at::equal(first, second));
}

// The gradient through dropout, and that dropout is where the network has it: along the gradient itself,
// whose square is the slope.
TEST(OneDnnGradients, GoThroughDropout) {
  const UNetOptions options = small([](auto& o) { o.dropout = 0.5; });
  if (!has_onednn_gradients(options)) GTEST_SKIP() << "this build has no oneDNN";
  FlatParameters parameters = parameters_of(options);
  const auto engine = make_gradient_engine(parameters, Precision::float32);
  const at::Tensor input = at::randn({1, 1, 60, 60}), classes = at::randint(0, 2, {1, 20, 20}, at::kLong),
                   weights = at::rand({1, 20, 20});
  const at::Tensor start = parameters.values().clone();
  const auto loss_at = [&](const at::Tensor& values) {
    parameters.values().copy_(values);
    engine->parameters_changed();
    return loss_sum(engine->forward(input, 3), classes, weights, 0);
  };
  at::Tensor leaf = [&] {
    parameters.values().copy_(start);
    engine->parameters_changed();
    return engine->forward(input, 3).requires_grad_(true);
  }();
  parameters.sums().zero_();
  loss_sum(leaf, classes, weights, 0).backward();
  engine->backward(leaf.grad(), {});
  const at::Tensor gradient = parameters.gradient().clone();
  const double square = gradient.dot(gradient).item<double>(), step = 1e-2 / std::sqrt(square);
  const double slope =
      (loss_at(start + step * gradient) - loss_at(start - step * gradient)).item<double>() / (2 * step);
  EXPECT_NEAR(slope / square, 1, 0.05);
}

TEST(AutogradGradients, InBfloat16PointTheSameWay) {
  for (UNetOptions options : {small(), keras_same_options()}) {
    options.base_filters = 4;
    options.depth = 2;
    options.dropout = 0;
    FlatParameters parameters = parameters_of(options);
    const std::int64_t side = options.padding == Padding::valid ? 60 : 64;
    const Pass expected = run(*make_autograd_engine(parameters, Precision::float32), parameters, side, side);
    const Pass found = run(*make_autograd_engine(parameters, Precision::bfloat16), parameters, side, side);
    EXPECT_EQ(found.logits.scalar_type(), at::kFloat);
    EXPECT_LT(relative_difference(found.logits, expected.logits), 0.05);
    EXPECT_GT(cosine(found.gradient, expected.gradient), 0.97);
  }
}

TEST(AutogradGradients, AreReadyFromTheFrontWhileTheRestIsComputed) {
  UNetOptions options = keras_same_options();
  options.base_filters = 4;
  options.depth = 2;
  FlatParameters parameters = parameters_of(options);
  const auto engine = make_autograd_engine(parameters, Precision::float32);
  const Pass pass = run(*engine, parameters, 64, 64, 2);
  ASSERT_GT(pass.ready.size(), 5U);
  EXPECT_TRUE(std::is_sorted(pass.ready.begin(), pass.ready.end()));
  EXPECT_EQ(pass.ready.back(), parameters.values().numel());
  expect_final_when_said(*engine, parameters, 64, 64);
}

TEST(GradientEngines, RejectFloat16) {
  FlatParameters parameters = parameters_of(small());
  EXPECT_THROW(make_gradient_engine(parameters, Precision::float16), UsageError);
}

}  // namespace
}  // namespace tessera
