#include "workers/network/tile_network.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "random_network.h"
#include "workers/network/forward_plan.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

using testing::NetworkCase;

class Engines : public ::testing::TestWithParam<NetworkCase> {};

TEST_P(Engines, AgreeWithLibTorch) {
  const UNetOptions options = testing::options_of(GetParam());
  const auto network = testing::random_network(options);
  const NetworkGeometry geometry = geometry_of(options);
  const c10::InferenceMode inference;
  for (const Precision precision : {Precision::float32, Precision::bfloat16}) {
    const auto fast = make_tile_network(*network, precision, {}),
               reference = make_libtorch_network(*network, Precision::float32, {});
    // The small shape follows the large one, to test that all shapes share one memory block.
    for (const std::int64_t more : {0, 3, 0, 1}) {
      const std::int64_t side = geometry.input_side_for(16) + geometry.alignment * more;
      const at::Tensor x = at::randn({1, options.in_channels, side, side + 2 * geometry.alignment});
      const at::Tensor a = fast->logits(x), b = reference->logits(x);
      ASSERT_EQ(a.sizes(), b.sizes());
      const double scale = b.abs().max().item<double>();
      ASSERT_GT(scale, 0.01);
      EXPECT_LE((a - b).abs().max().item<double>() / scale, precision == Precision::float32 ? 1e-5 : 0.05)
          << fast->text() << ", side " << side;
      EXPECT_LE((a - b).abs().mean().item<double>() / scale, precision == Precision::float32 ? 1e-6 : 0.008);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Options, Engines, ::testing::ValuesIn(testing::kNetworkCases),
                         [](const auto& test) { return test.param.what; });

TEST(ForwardPlan, LiveBuffersDoNotOverlap) {
  int pairs = 0;
  for (const bool same : {false, true}) {
    const UNetOptions options = same ? keras_same_options() : unet2015_options();
    const std::int64_t side = geometry_of(options).input_side_for(400);
    const ForwardPlan plan = plan_forward(options, side, side + 32, 2);
    for (std::size_t i = 0; i < plan.buffers.size(); ++i) {
      const auto& a = plan.buffers[i];
      EXPECT_LE(a.offset + a.bytes, plan.bytes);
      for (std::size_t j = 0; j < i; ++j) {
        const auto& b = plan.buffers[j];
        if (a.first_step > b.last_step || b.first_step > a.last_step) continue;
        EXPECT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset) << i << " and " << j;
        ++pairs;
      }
    }
  }
  EXPECT_GT(pairs, 50);
}

TEST(ForwardPlan, EveryBufferIsWrittenBeforeItIsRead) {
  const ForwardPlan plan = plan_forward(unet2015_options(), 572, 572, 4);
  std::vector<int> writes(plan.buffers.size(), 0);
  int convolutions = 0, ups = 0;
  for (const ForwardStep& step : plan.steps) {
    if (step.in != kInput) {
      EXPECT_GT(writes[static_cast<std::size_t>(step.in)], 0);
    }
    if (step.out != kOutput) ++writes[static_cast<std::size_t>(step.out)];
    convolutions +=
        step.kind == ForwardStep::Kind::convolution || step.kind == ForwardStep::Kind::to_classes ? 1 : 0;
    ups += step.kind == ForwardStep::Kind::spread ? 1 : 0;
  }
  EXPECT_EQ(convolutions + ups, 23) << "the convolutional layers of the paper";
  EXPECT_EQ(plan.steps.back().out_height, 388);
  // The peak is 3.5 times the values of the first level. A worse order of steps would need more.
  EXPECT_LE(plan.bytes, std::int64_t{572} * 572 * 64 * 4 * 7 / 2);
}

/// For each buffer of a gradient plan, the indices of the steps that use it, over both passes.
std::vector<std::vector<int>> uses_of(const GradientPlan& plan) {
  std::vector<std::vector<int>> uses(plan.buffers.size());
  int step_index = 0;
  const auto use = [&](int buffer) {
    if (buffer >= 0) uses[static_cast<std::size_t>(buffer)].push_back(step_index);
  };
  for (const ForwardStep& step : plan.forward) {
    use(step.in), use(step.out);
    ++step_index;
  }
  for (const BackwardStep& step : plan.backward) {
    use(step.output_gradient), use(step.input_gradient);
    if (step.kind != BackwardStep::Kind::gather) use(step.forward.in);
    if (step.rectify) use(step.forward.out);
    if (step.kind == BackwardStep::Kind::join) use(step.forward.out), use(step.crop_gradient);
    ++step_index;
  }
  return uses;
}

TEST(GradientPlan, LiveBuffersDoNotOverlap) {
  for (const int convs : {1, 2, 3}) {
    UNetOptions options = unet2015_options();
    options.block_convs = convs;
    const std::int64_t side = geometry_of(options).input_side_for(20);
    const GradientPlan plan = plan_gradient(options, side, side, 2);
    const auto uses = uses_of(plan);
    int pairs = 0;
    for (std::size_t i = 0; i < uses.size(); ++i) {
      ASSERT_FALSE(uses[i].empty());
      EXPECT_LE(plan.buffers[i].offset + plan.buffers[i].bytes, plan.bytes);
      for (std::size_t j = 0; j < i; ++j) {
        if (uses[i].front() > uses[j].back() || uses[j].front() > uses[i].back()) continue;
        const auto &a = plan.buffers[i], &b = plan.buffers[j];
        EXPECT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset) << i << " and " << j;
        ++pairs;
      }
    }
    EXPECT_GT(pairs, 100);
  }
}

TEST(GradientPlan, DropoutIsAtTheEndOfTheContractingPath) {
  const UNetOptions options = unet2015_options();
  const GradientPlan plan = plan_gradient(options, 572, 572, 4);
  std::vector<std::int64_t> dropped, scaled;
  for (std::size_t i = 0; i < plan.forward.size(); ++i) {
    if (!plan.drop_after[i]) continue;
    dropped.push_back(plan.forward[i].out_channels);
    EXPECT_EQ(plan.forward[i].kind, ForwardStep::Kind::convolution);
    EXPECT_NE(plan.forward[i + 1].kind, ForwardStep::Kind::convolution)
        << "dropout follows the last convolution of its block";
  }
  EXPECT_EQ(dropped, (std::vector<std::int64_t>{512, 1024}));
  for (const BackwardStep& step : plan.backward) {
    const bool rectifies = step.rectify || step.kind == BackwardStep::Kind::join;
    if (rectifies && step.dropped) {
      scaled.push_back(step.kind == BackwardStep::Kind::join ? step.forward.in_channels
                                                             : step.forward.out_channels);
    }
  }
  EXPECT_EQ(scaled, (std::vector<std::int64_t>{1024, 512}));
}

TEST(GradientPlan, RejectsUnsupportedNetworks) {
  EXPECT_TRUE(can_plan_gradient(unet2015_options()));
  EXPECT_FALSE(can_plan_gradient(keras_same_options()));
}

}  // namespace
}  // namespace tessera
