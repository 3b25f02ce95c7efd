#include "workers/train/gradient_engine.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "io/error.h"
#include "operator_recorder.h"
#include "workers/network/gpu_operators.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"
#include "workers/train/loss.h"

namespace tessera {
namespace {

struct Case {
  const char* name;
  UNetOptions options;
  std::int64_t height, width;  ///< of the output, at least
};
void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

UNetOptions small(const std::function<void(UNetOptions&)>& change = {}) {
  UNetOptions options;
  options.base_filters = 4;
  options.depth = 2;
  options.dropout = 0;
  if (change) change(options);
  return options;
}

/// A forward and a backward pass: logits, and the flat gradient after `samples` of them.
struct Pass {
  at::Tensor logits, gradient;
  std::vector<std::int64_t> ready;
};

/// Energy of random classes and weights, so that every logit has a gradient.
Pass run(GradientEngine& engine, FlatParameters& parameters, std::int64_t height, std::int64_t width,
         int samples = 1, int seed = 5) {
  const UNetOptions& options = parameters.network().options();
  Pass pass;
  parameters.sums().zero_();
  engine.parameters_changed();
  for (int s = 0; s < samples; ++s) {
    at::manual_seed(static_cast<std::uint64_t>(seed + s));
    const at::Tensor input =
        at::randn({1, options.in_channels, height, width}).contiguous(at::MemoryFormat::ChannelsLast);
    pass.logits = engine.forward(input, 11);
    at::Tensor leaf = pass.logits.clone().requires_grad_(true);
    at::manual_seed(static_cast<std::uint64_t>(10 * seed + s));
    const at::Tensor classes = at::randint(0, std::max<std::int64_t>(2, options.classes),
                                           {1, leaf.size(2), leaf.size(3)}, at::kLong);
    energy_sum(leaf, classes, at::rand({1, leaf.size(2), leaf.size(3)}), 0).backward();
    pass.ready.clear();
    engine.backward(leaf.grad(), [&](std::int64_t values) { pass.ready.push_back(values); });
  }
  pass.gradient = parameters.gradient().clone();
  return pass;
}

FlatParameters parameters_of(const UNetOptions& options) {
  auto network = make_network(options, 3);
  network->train();
  FlatParameters parameters(network, at::kCPU);
  // Biases other than 0, so that a lost one shows.
  const at::NoGradGuard no_grad;
  at::manual_seed(17);
  parameters.values().add_(at::randn(parameters.values().sizes()), 0.02);
  return parameters;
}

double cosine(const at::Tensor& a, const at::Tensor& b) {
  return a.dot(b).item<double>() / (a.norm().item<double>() * b.norm().item<double>());
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).norm().item<double>() / b.norm().item<double>();
}

/// What was said to be final was: a copy taken then equals the end.
void expect_final_when_said(GradientEngine& engine, FlatParameters& parameters, std::int64_t height,
                            std::int64_t width) {
  std::vector<std::pair<std::int64_t, at::Tensor>> copies;
  const std::int64_t channels = parameters.network().options().in_channels;
  const at::Tensor logits = engine.forward(at::randn({1, channels, height, width}), 1);
  parameters.sums().zero_();
  engine.backward(at::randn(logits.sizes()), [&](std::int64_t values) {
    copies.emplace_back(values, parameters.sums().narrow(0, 0, values).clone());
  });
  ASSERT_GT(copies.size(), 5U);
  for (const auto& [values, copy] : copies)
    EXPECT_TRUE(at::equal(copy, parameters.sums().narrow(0, 0, values))) << values;
}

/// Networks of every option whose backward pass can be planned.
std::vector<Case> cases() {
  return {Case{"paper", small(), 20, 36},
                      Case{"deep", small([](auto& o) { o.depth = 4; }), 4, 20},
                      Case{"one_class", small([](auto& o) { o.classes = 1; }), 20, 20},
                      Case{"five_classes_three_channels", small([](auto& o) {
                             o.classes = 5;
                             o.in_channels = 3;
                           }),
                           20, 20},
                      Case{"one_convolution", small([](auto& o) { o.block_convs = 1; }), 20, 20},
                      Case{"three_convolutions", small([](auto& o) { o.block_convs = 3; }), 20, 20},
                      Case{"sixteen_filters", small([](auto& o) { o.base_filters = 16; }), 36, 20},
                      Case{"many_channels", small([](auto& o) { o.base_filters = 64; }), 20, 20},
                      Case{"same_padding", small([](auto& o) { o.padding = Padding::same; }), 48, 64}};
}

class Gradients : public ::testing::TestWithParam<Case> {
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
  const std::int64_t height = geometry_of(options).input_side_for(GetParam().height),
                     width = geometry_of(options).input_side_for(GetParam().width);
  FlatParameters parameters = parameters_of(options);
  const Pass expected = run(*make_gradient_engine(parameters, Precision::float32), parameters, height, width);
  std::unique_ptr<GradientEngine> engine;
  try {
    engine = make_gradient_engine(parameters, Precision::bfloat16);
  } catch (const UsageError& error) {
    GTEST_SKIP() << error.what();
  }
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

INSTANTIATE_TEST_SUITE_P(
    Networks, Gradients,
    ::testing::ValuesIn(cases()),
    [](const auto& tested) { return std::string(tested.param.name); });

// --- the engine for a GPU, by the same operators on the CPU ------------------------------------------------

class GpuGradients : public ::testing::TestWithParam<Case> {
 protected:
  std::int64_t height() const { return geometry_of(GetParam().options).input_side_for(GetParam().height); }
  std::int64_t width() const { return geometry_of(GetParam().options).input_side_for(GetParam().width); }
};

TEST_P(GpuGradients, EqualAutomaticDifferentiation) {
  FlatParameters parameters = parameters_of(GetParam().options);
  const auto reference = make_autograd_engine(parameters, Precision::float32),
             engine = make_gpu_engine(parameters, Precision::float32);
  double least = 1e300;  // as above: rounding may turn a ReLU
  for (const int seed : {5, 105, 205}) {
    const Pass expected = run(*reference, parameters, height(), width(), 2, seed);
    const Pass found = run(*engine, parameters, height(), width(), 2, seed);
    EXPECT_LT(relative_difference(found.logits, expected.logits), 1e-5);
    double worst = 0;
    for (const auto& entry : parameters.entries()) {
      const double difference = relative_difference(FlatParameters::piece(found.gradient, entry),
                                                    FlatParameters::piece(expected.gradient, entry));
      EXPECT_LT(difference, 1e-2) << entry.name << ", seed " << seed;
      worst = std::max(worst, difference);
    }
    least = std::min(least, worst);
  }
  EXPECT_LT(least, 1e-4);
}

TEST_P(GpuGradients, InBfloat16PointTheSameWay) {
  FlatParameters parameters = parameters_of(GetParam().options);
  const Pass expected = run(*make_autograd_engine(parameters, Precision::float32), parameters, height(), width());
  const Pass found = run(*make_gpu_engine(parameters, Precision::bfloat16), parameters, height(), width());
  EXPECT_EQ(found.gradient.scalar_type(), at::kFloat);
  EXPECT_LT(relative_difference(found.logits, expected.logits), 0.03);
  EXPECT_GT(cosine(found.gradient, expected.gradient), 0.97);
}

TEST_P(GpuGradients, AreReadyFromTheFront) {
  FlatParameters parameters = parameters_of(GetParam().options);
  const auto engine = make_gpu_engine(parameters, Precision::float32);
  const Pass pass = run(*engine, parameters, height(), width());
  EXPECT_TRUE(std::is_sorted(pass.ready.begin(), pass.ready.end()));
  EXPECT_EQ(pass.ready.back(), parameters.values().numel());
  expect_final_when_said(*engine, parameters, height(), width());
}

INSTANTIATE_TEST_SUITE_P(Networks, GpuGradients, ::testing::ValuesIn(cases()),
                         [](const auto& tested) { return std::string(tested.param.name); });

/// Iterations with other inputs, seeds and parameters each: the flat gradients, which are sums over two groups of samples.
std::vector<at::Tensor> gradients_of(GradientEngine& engine, FlatParameters& parameters, const std::vector<std::int64_t>& groups,
                                     std::vector<bool> told = {}) {
  const UNetOptions& options = parameters.network().options();
  const std::int64_t side = geometry_of(options).input_side_for(16);
  const at::Tensor first_values = parameters.values().clone();
  at::manual_seed(21);
  std::vector<at::Tensor> gradients;
  std::uint64_t seed = 100;
  for (int iteration = 0; iteration < 6; ++iteration) {
    parameters.sums().zero_();
    for (const std::int64_t count : groups) {
      const at::Tensor input = gpu::channels_last(at::randn({count, options.in_channels, side, side}), at::kFloat);
      std::vector<std::uint64_t> seeds;
      for (std::int64_t i = 0; i < count; ++i)
        seeds.push_back(seed++);
      const at::Tensor logits = engine.forward(input, seeds);
      const bool tell = static_cast<std::size_t>(iteration) < told.size() && told[static_cast<std::size_t>(iteration)];
      std::int64_t final = 0;
      engine.backward(logits * 0.1 + at::randn_like(logits), tell ? GradientReady([&](std::int64_t n) { final = n; }) : GradientReady());
      if (tell) {
        EXPECT_EQ(final, parameters.values().numel());
      }
    }
    gradients.push_back(parameters.gradient().clone());
    parameters.values().sub_(parameters.gradient() / parameters.gradient().norm(), 0.1);
    engine.parameters_changed();
  }
  parameters.values().copy_(first_values);
  engine.parameters_changed();
  return gradients;
}

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::ranges::equal(a, b, [](const at::Tensor& x, const at::Tensor& y) { return x.equal(y); });
}

TEST_P(GpuGradients, AreTheSameBitsRecorded) {
  UNetOptions options = GetParam().options;
  options.dropout = 0.5;
  FlatParameters parameters = parameters_of(options);
  int recorded = 0;
  const KernelRecorder record = [&](const std::function<void()>& kernels) {
    ++recorded;
    return testing::operator_recorder()(kernels);
  };
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    recorded = 0;
    const auto plain = make_gpu_engine(parameters, precision), replayed = make_gpu_engine(parameters, precision, {.record = record});
    const auto expected = gradients_of(*plain, parameters, {2, 1}), found = gradients_of(*replayed, parameters, {2, 1});
    EXPECT_EQ(recorded, 4) << "two passes of two shapes";
    EXPECT_NE(replayed->text().find("recorded"), std::string::npos);
    EXPECT_TRUE(equal(found, expected));
    EXPECT_TRUE(expected[5].isfinite().all().item<bool>());
    EXPECT_FALSE(expected[0].equal(expected[5]));
  }
}

// What keeps an engine from recording, or from going on with it, leaves the gradients as they are.
TEST(GpuGradients, AreRightWhateverBecomesOfARecording) {
  FlatParameters parameters = parameters_of(small([](auto& o) { o.dropout = 0.5; }));
  int recorded = 0, fails_at = 0;
  const KernelRecorder record = [&](const std::function<void()>& kernels) {
    if (++recorded == fails_at) {
      kernels();
      TORCH_CHECK(false, "operation not permitted when stream is capturing");
    }
    return testing::operator_recorder()(kernels);
  };
  const auto expected = gradients_of(*make_gpu_engine(parameters, Precision::float32), parameters, {1});
  for (fails_at = 1; fails_at <= 2; ++fails_at) {
    recorded = 0;
    const auto engine = make_gpu_engine(parameters, Precision::float32, {.record = record});
    EXPECT_TRUE(equal(gradients_of(*engine, parameters, {1}), expected)) << "fails at the " << fails_at << ". recording";
    EXPECT_EQ(recorded, fails_at) << "it is not tried again";
    EXPECT_EQ(engine->text().find("recorded"), std::string::npos);
  }
  fails_at = 0;
  {
    recorded = 0;
    const auto engine = make_gpu_engine(parameters, Precision::float32, {.record = record});
    EXPECT_TRUE(equal(gradients_of(*engine, parameters, {1}, {false, false, false, false, true, false}), expected));
    EXPECT_EQ(recorded, 2);
    EXPECT_EQ(engine->text().find("recorded"), std::string::npos) << "gradients are to travel while the rest is computed";
  }
  {
    recorded = 0;
    const auto engine = make_gpu_engine(parameters, Precision::float32, {.record = record, .recorded_pixels = 50});
    EXPECT_TRUE(equal(gradients_of(*engine, parameters, {1}), expected));
    EXPECT_EQ(recorded, 0) << "large inputs hide what starting kernels costs";
  }
  for (const bool faster : {true, false}) {
    recorded = 0;
    int timed = 0;
    const KernelTimer time = [&](const std::function<void()>& kernels) {
      kernels();  // throws where they are fused, which the CPU has not
      return ++timed == 3 && faster ? 1.0 : 2.0;  // first the kernels' choice, then one by one, then recorded
    };
    const auto engine = make_gpu_engine(parameters, Precision::float32, {.time = time, .record = record});
    EXPECT_TRUE(equal(gradients_of(*engine, parameters, {1}), expected));
    EXPECT_EQ(engine->text().find("recorded") != std::string::npos, faster);
    EXPECT_EQ(recorded, 2);
  }
}

// Law 6: sums of samples, however many go through the network at once; with dropout, too.
TEST(GpuGradients, OfSeveralSamplesAreTheSumOfEach) {
  const UNetOptions options = small([](auto& o) { o.dropout = 0.5; });
  FlatParameters parameters = parameters_of(options);
  const auto engine = make_gpu_engine(parameters, Precision::float32),
             reference = make_autograd_engine(parameters, Precision::float32, 3);
  at::manual_seed(9);
  // As images lie in memory, so they are drawn for.
  const at::Tensor input = gpu::channels_last(at::randn({3, 1, 60, 60}), at::kFloat);
  const std::vector<std::uint64_t> seeds = {4, 5, 6};
  const at::Tensor answer_gradient = at::randn({3, 2, 20, 20});
  const auto pass = [&](GradientEngine& by, bool together) {
    std::vector<at::Tensor> logits;
    parameters.sums().zero_();
    for (std::int64_t i = 0; i < (together ? 1 : 3); ++i) {
      const std::int64_t count = together ? 3 : 1;
      logits.push_back(by.forward(input.narrow(0, i, count), std::span(seeds).subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(count))).clone());
      by.backward(answer_gradient.narrow(0, i, count), {});
    }
    return std::pair(at::cat(logits), parameters.gradient().clone());
  };
  const auto [logits, gradient] = pass(*engine, true);
  const auto [one_by_one, summed] = pass(*engine, false);
  const auto [expected, right] = pass(*reference, true);
  EXPECT_LT(relative_difference(logits, one_by_one), 1e-5);
  EXPECT_LT(relative_difference(gradient, summed), 1e-4);
  EXPECT_LT(relative_difference(logits, expected), 1e-5) << "a sample drops the same in both engines";
  EXPECT_LT(relative_difference(gradient, right), 1e-4);
  const std::vector<std::uint64_t> others = {4, 5, 7};
  EXPECT_GT(relative_difference(engine->forward(input, others), logits), 1e-3);
}

// Dropout differs from sample to sample by its seed, and only by it.
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
  const auto energy_at = [&](const at::Tensor& values) {
    parameters.values().copy_(values);
    engine->parameters_changed();
    return energy_sum(engine->forward(input, 3), classes, weights, 0);
  };
  at::Tensor leaf = [&] {
    parameters.values().copy_(start);
    engine->parameters_changed();
    return engine->forward(input, 3).requires_grad_(true);
  }();
  parameters.sums().zero_();
  energy_sum(leaf, classes, weights, 0).backward();
  engine->backward(leaf.grad(), {});
  const at::Tensor gradient = parameters.gradient().clone();
  const double square = gradient.dot(gradient).item<double>(), step = 1e-2 / std::sqrt(square);
  const double slope =
      (energy_at(start + step * gradient) - energy_at(start - step * gradient)).item<double>() / (2 * step);
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

TEST(GradientEngines, RefuseFloat16) {
  FlatParameters parameters = parameters_of(small());
  EXPECT_THROW(make_gradient_engine(parameters, Precision::float16), UsageError);
}

}  // namespace
}  // namespace tessera
