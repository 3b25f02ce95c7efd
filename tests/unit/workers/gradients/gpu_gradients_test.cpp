// The engine for a GPU, by the same operators on the CPU.
#include <ATen/Functions.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gradient_cases.h"
#include "tests/unit/workers/device/host_launcher.h"
#include "tests/unit/workers/device/operator_recorder.h"
#include "workers/kernels/gpu_operators.h"
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

class GpuGradients : public ::testing::TestWithParam<GradientCase> {
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
  const Pass expected =
      run(*make_autograd_engine(parameters, Precision::float32), parameters, height(), width());
  const Pass found = run(*make_gpu_engine(parameters, Precision::bfloat16), parameters, height(), width());
  EXPECT_EQ(found.gradient.scalar_type(), at::kFloat);
  EXPECT_LT(relative_difference(found.logits, expected.logits), 0.03);
  EXPECT_GT(cosine(found.gradient, expected.gradient), 0.97);
}

TEST_P(GpuGradients, AreTheSameByCustomKernels) {
  UNetOptions options = GetParam().options;
  options.base_filters = std::max<std::int64_t>(8, options.base_filters);
  for (const double dropout : {0.0, 0.5}) {
    options.dropout = dropout;
    FlatParameters parameters = parameters_of(options);
    int started = 0;
    const KernelLauncher launch = testing::host_launcher(started);
    const auto plain = make_gpu_engine(parameters, Precision::bfloat16),
               own = make_gpu_engine(parameters, Precision::bfloat16,
                                     {.launch = launch, .kernels = GpuKernels{.own = true}});
    const Pass right =
                   run(*make_gpu_engine(parameters, Precision::float32), parameters, height(), width(), 2),
               rounded = run(*plain, parameters, height(), width(), 2),
               found = run(*own, parameters, height(), width(), 2);
    // Another rounding turns some ReLUs: as far from float32 as bfloat16 is by LibTorch's kernels.
    EXPECT_LT(relative_difference(found.logits, right.logits),
              1.5 * relative_difference(rounded.logits, right.logits));
    EXPECT_LT(relative_difference(found.gradient, right.gradient),
              1.5 * relative_difference(rounded.gradient, right.gradient));
    EXPECT_GE(started, 2 * 2 * options.depth) << "pooling and joining, twice";
  }
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

/// Iterations with other inputs, seeds and parameters each: the flat gradients, which are sums over two
/// groups of samples.
std::vector<at::Tensor> gradients_of(GradientEngine& engine, FlatParameters& parameters,
                                     const std::vector<std::int64_t>& groups,
                                     std::vector<bool> reported = {}) {
  const NetworkDescription& options = parameters.network().description();
  const std::int64_t side = geometry_of(options).input_side_for(16);
  const at::Tensor first_values = parameters.values().clone();
  at::manual_seed(21);
  std::vector<at::Tensor> gradients;
  std::uint64_t seed = 100;
  for (int iteration = 0; iteration < 6; ++iteration) {
    parameters.sums().zero_();
    for (const std::int64_t count : groups) {
      const at::Tensor input =
          gpu::channels_last(at::randn({count, options.in_channels, side, side}), at::kFloat);
      std::vector<std::uint64_t> seeds;
      for (std::int64_t i = 0; i < count; ++i)
        seeds.push_back(seed++);
      const at::Tensor logits = engine.forward(input, seeds);
      const bool tell = static_cast<std::size_t>(iteration) < reported.size() &&
                        reported[static_cast<std::size_t>(iteration)];
      std::int64_t final = 0;
      engine.backward(logits * 0.1 + at::randn_like(logits),
                      tell ? GradientReady([&](std::int64_t n) { final = n; }) : GradientReady());
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

TEST_P(GpuGradients, AreBitEqualWhenRecorded) {
  UNetOptions options = GetParam().options;
  options.dropout = 0.5;
  FlatParameters parameters = parameters_of(options);
  int recorded = 0;
  const KernelRecorder record = testing::counted_recorder(recorded);
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    recorded = 0;
    const auto plain = make_gpu_engine(parameters, precision),
               replayed = make_gpu_engine(parameters, precision, {.record = record});
    const auto expected = gradients_of(*plain, parameters, {2, 1}),
               found = gradients_of(*replayed, parameters, {2, 1});
    EXPECT_EQ(recorded, 4) << "two passes of two shapes";
    EXPECT_NE(replayed->text().find("recorded"), std::string::npos);
    EXPECT_TRUE(equal(found, expected));
    EXPECT_TRUE(expected[5].isfinite().all().item<bool>());
    EXPECT_FALSE(expected[0].equal(expected[5]));
  }
}

// What keeps an engine from recording, or from going on with it, leaves the gradients as they are.
TEST(GpuGradients, AreRightWithAndWithoutRecording) {
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
    EXPECT_TRUE(equal(gradients_of(*engine, parameters, {1}), expected))
        << "fails at the " << fails_at << ". recording";
    EXPECT_EQ(recorded, fails_at) << "it is not tried again";
    EXPECT_EQ(engine->text().find("recorded"), std::string::npos);
  }
  fails_at = 0;
  {
    recorded = 0;
    const auto engine = make_gpu_engine(parameters, Precision::float32, {.record = record});
    EXPECT_TRUE(
        equal(gradients_of(*engine, parameters, {1}, {false, false, false, false, true, false}), expected));
    EXPECT_EQ(recorded, 2);
    EXPECT_EQ(engine->text().find("recorded"), std::string::npos)
        << "gradients must be sent during the computation";
  }
  {
    recorded = 0;
    const auto engine =
        make_gpu_engine(parameters, Precision::float32, {.record = record, .recorded_pixels = 50});
    EXPECT_TRUE(equal(gradients_of(*engine, parameters, {1}), expected));
    EXPECT_EQ(recorded, 0) << "large inputs hide what starting kernels costs";
  }
  for (const bool faster : {true, false}) {
    recorded = 0;
    int timed = 0;
    const KernelTimer time = [&](const std::function<void()>& kernels) {
      kernels();                                  // throws where they are fused, which the CPU has not
      return ++timed == 3 && faster ? 1.0 : 2.0;  // first the kernels' choice, then one by one, then recorded
    };
    const auto engine = make_gpu_engine(parameters, Precision::float32, {.time = time, .record = record});
    EXPECT_TRUE(equal(gradients_of(*engine, parameters, {1}), expected));
    EXPECT_EQ(engine->text().find("recorded") != std::string::npos, faster);
    EXPECT_EQ(recorded, 2);
  }
}

// Law 6: sums of samples, however many go through the network at once; with dropout, too.
TEST(GpuGradients, OfABatchAreTheSumOverItsSamples) {
  const UNetOptions options = small([](auto& o) { o.dropout = 0.5; });
  FlatParameters parameters = parameters_of(options);
  const auto engine = make_gpu_engine(parameters, Precision::float32),
             reference = make_autograd_engine(parameters, Precision::float32, 3);
  at::manual_seed(9);
  // As images lie in memory, so they are drawn for.
  const at::Tensor input = gpu::channels_last(at::randn({3, 1, 60, 60}), at::kFloat);
  const std::vector<std::uint64_t> seeds = {4, 5, 6};
  const at::Tensor output_gradient = at::randn({3, 2, 20, 20});
  const auto pass = [&](GradientEngine& by, bool together) {
    std::vector<at::Tensor> logits;
    parameters.sums().zero_();
    for (std::int64_t i = 0; i < (together ? 1 : 3); ++i) {
      const std::int64_t count = together ? 3 : 1;
      logits.push_back(
          by.forward(input.narrow(0, i, count),
                     std::span(seeds).subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(count)))
              .clone());
      by.backward(output_gradient.narrow(0, i, count), {});
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

}  // namespace
}  // namespace tessera
