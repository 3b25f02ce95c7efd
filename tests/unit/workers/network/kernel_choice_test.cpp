// The choice of kernels for a network on the CPU. Some of its layers are made to depend on a pixel's
// position.
#include "workers/network/kernel_choice.h"
#include "workers/network/unet.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera {
namespace {

/// A network of the planned steps on integers, which every reduction order sums without rounding. All weights
/// are 1.
class KernelChoice : public ::testing::Test {
 protected:
  KernelChoice() {
    options_.depth = 2;
    options_.base_filters = 2;
    trial_.geometry = geometry_of(options_);
    const std::int64_t side = trial_.geometry.input_side_for(20 * trial_.geometry.alignment);
    trial_.input = at::zeros({1, 1, side, side});
    trial_.plan = plan_forward(options_, side, side, 4);
    trial_.variants = {fused(), plain()};
    trial_.can_order = true;
    trial_.ordered_sides = [](std::size_t) { return std::vector<std::int64_t>{40, 93}; };
    trial_.type = at::kBFloat16;
    trial_.run_step = [this](std::size_t step, const at::Tensor& image, const GpuKernels& kernels) {
      return layer(step, image, kernels);
    };
    trial_.run = [this](const at::Tensor& input, const GpuKernels& kernels) {
      return network(input, kernels);
    };
  }

  static GpuKernels fused() { return {.fused = true}; }
  static GpuKernels plain() { return {}; }
  /// The step of a kind that follows `before` steps of the same kind.
  std::size_t step_of(ForwardStep::Kind kind, int before) const {
    for (std::size_t i = 0; i < trial_.plan.steps.size(); ++i) {
      if (trial_.plan.steps[i].kind == kind && before-- == 0) return i;
    }
    throw std::out_of_range("no such step");
  }
  std::size_t convolution(int layer) const { return step_of(ForwardStep::Kind::convolution, layer); }

  at::Tensor layer(std::size_t number, const at::Tensor& image, const GpuKernels& kernels) const {
    const ForwardStep& step = trial_.plan.steps[number];
    if (kernels.ordered == std::set<std::size_t>{number})
      compared_[number].push_back({image.size(2), image.size(3)});
    const bool ordered = kernels.ordered.contains(number);
    TORCH_CHECK(!ordered || !no_ordered_, "not on this device");
    TORCH_CHECK(!ordered || ordered_fails_ == nullptr, ordered_fails_);
    const std::int64_t taps = step.kind == ForwardStep::Kind::convolution ? 3 : 1;
    at::Tensor out = at::conv2d((image.to(at::kFloat) * 64).ceil(),
                                at::ones({step.out_channels, step.in_channels, taps, taps}))
                         .remainder(8191) /
                     64;
    const bool is_faulty = !ordered && (kernels.fused ? fused_faults_ : plain_faults_).contains(number);
    if (is_faulty)
      out.select(2, out.size(2) / 2).select(2, out.size(3) / 3).add_(1.0 / 128);  // within rounding
    if (ordered) out.add_(error_);
    return out;
  }

  at::Tensor network(const at::Tensor& input, const GpuKernels& kernels) const {
    TORCH_CHECK(!kernels.fused || !no_fused_, "not on this device");
    TORCH_CHECK(kernels.fused || plain_fails_ == nullptr, plain_fails_);
    const ForwardPlan plan = plan_forward(options_, input.size(2), input.size(3), 4);
    std::map<int, at::Tensor> images{{kInput, input}};
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      const ForwardStep& step = plan.steps[i];
      const at::Tensor& in = images.at(step.in);
      at::Tensor& out = images[step.out];
      if (step.kind == ForwardStep::Kind::pooling) {
        out = at::max_pool2d(in, 2);
      } else if (step.kind == ForwardStep::Kind::crop) {
        out = at::zeros({1, step.out_channels, step.out_height, step.out_width});
        const std::int64_t y = (in.size(2) - out.size(2)) / 2, x = (in.size(3) - out.size(3)) / 2;
        out.narrow(1, 0, step.in_channels).copy_(in.narrow(2, y, out.size(2)).narrow(3, x, out.size(3)));
      } else if (step.kind == ForwardStep::Kind::shuffle) {
        out.narrow(1, out.size(1) / 2, out.size(1) / 2).copy_(at::pixel_shuffle(in, 2));
      } else {
        out = layer(i, in, kernels);
      }
    }
    if (kernels.ordered.size() > 6)
      return images.at(kOutput) + size_dependence_ * static_cast<double>(input.size(2));
    return images.at(kOutput);
  }

  UNetOptions options_;
  KernelTrial trial_;
  std::set<std::size_t> fused_faults_, plain_faults_;
  mutable std::map<std::size_t, std::vector<std::pair<std::int64_t, std::int64_t>>>
      compared_;  ///< image sizes of the comparisons, by step
  double error_ = 0, size_dependence_ = 0;
  bool no_ordered_ = false, no_fused_ = false;
  const char* ordered_fails_ = nullptr;
  const char* plain_fails_ = nullptr;
  const c10::InferenceMode inference_;
};

TEST_F(KernelChoice, KeepsATranslationInvariantVariant) {
  const tessera::KernelChoice choice = choose_kernels(trial_, ExactTiles::automatic);
  EXPECT_TRUE(choice.kernels.fused);
  EXPECT_TRUE(choice.kernels.ordered.empty());
  EXPECT_TRUE(choice.translation_invariant);
  EXPECT_FALSE(choice.shape_invariant);
  EXPECT_FALSE(choice.depends_on_position);
}

TEST_F(KernelChoice, OnlyFaultyLayersGetAFixedReductionOrder) {
  const std::set<std::size_t> faults = {convolution(1), convolution(5), step_of(ForwardStep::Kind::spread, 0),
                                        step_of(ForwardStep::Kind::to_classes, 0)};
  fused_faults_ = plain_faults_ = faults;
  const tessera::KernelChoice choice = choose_kernels(trial_, ExactTiles::automatic);
  EXPECT_TRUE(choice.kernels.fused);
  EXPECT_EQ(choice.kernels.ordered, faults);
  EXPECT_TRUE(choice.translation_invariant);
  EXPECT_FALSE(choice.depends_on_position);
  for (const std::size_t fault : faults) {
    fused_faults_ = {fault};
    EXPECT_EQ(choose_kernels(trial_, ExactTiles::automatic).kernels.ordered, fused_faults_);
  }
}

TEST_F(KernelChoice, UsesTheNextVariantIfAFixedOrderFails) {
  fused_faults_ = {convolution(3)};
  for (const bool wrong : {false, true}) {
    error_ = wrong ? 5 : 0;
    no_ordered_ = !wrong;
    const tessera::KernelChoice choice = choose_kernels(trial_, ExactTiles::automatic);
    EXPECT_FALSE(choice.kernels.fused) << "a variant with wrong or failing sums is not chosen";
    EXPECT_TRUE(choice.kernels.ordered.empty());
    EXPECT_TRUE(choice.translation_invariant);
  }
  plain_faults_ = {convolution(2)};
  const tessera::KernelChoice choice = choose_kernels(trial_, ExactTiles::automatic);
  EXPECT_TRUE(choice.kernels.fused) << "the first variant if none is invariant";
  EXPECT_TRUE(choice.depends_on_position);
  EXPECT_FALSE(choice.translation_invariant);
  error_ = 0;
  EXPECT_TRUE(choose_kernels(trial_, ExactTiles::no).depends_on_position);
  trial_.can_order = false;
  EXPECT_TRUE(choose_kernels(trial_, ExactTiles::automatic).depends_on_position);
}

TEST_F(KernelChoice, TimesTheTranslationInvariantVariants) {
  // A timer that returns these seconds: first for fused kernels with a fixed order, then for plain kernels.
  const auto timer = [](std::vector<double> seconds) {
    return [seconds, next = std::size_t{0}](const std::function<void()>& kernels) mutable {
      kernels();
      return seconds.at(next++);
    };
  };
  fused_faults_ = {convolution(0)};
  trial_.time = timer({1, 2});
  EXPECT_EQ(choose_kernels(trial_, ExactTiles::automatic).kernels.ordered, fused_faults_);
  trial_.time = timer({2, 1});
  EXPECT_FALSE(choose_kernels(trial_, ExactTiles::automatic).kernels.fused);
  no_ordered_ = true;
  trial_.time = timer({2});
  EXPECT_FALSE(choose_kernels(trial_, ExactTiles::automatic).kernels.fused)
      << "only one variant is invariant";
}

TEST_F(KernelChoice, SkipsVariantsThatFail) {
  no_fused_ = true;
  EXPECT_FALSE(choose_kernels(trial_, ExactTiles::automatic).kernels.fused);
  trial_.variants = {fused()};
  EXPECT_THROW(choose_kernels(trial_, ExactTiles::automatic), c10::Error);
}

TEST_F(KernelChoice, OutOfMemoryDecidesNoHeuristicChoice) {
  constexpr std::array kMemory = {"CUDA out of memory",
                                  "FIND was unable to find an engine to execute this computation"};
  const auto second = [](double first_s) {
    return [first_s, next = 0](const std::function<void()>& kernels) mutable {
      return kernels(), next++ == 0 ? first_s : 1.0;
    };
  };
  fused_faults_ = {convolution(3)};
  for (const char* message : kMemory) {
    ordered_fails_ = message;
    trial_.time = {};
    EXPECT_THROW(choose_kernels(trial_, ExactTiles::automatic), c10::Error) << message;
    EXPECT_FALSE(choose_kernels(trial_, ExactTiles::no).kernels.fused);
    trial_.type = at::kFloat;
    EXPECT_THROW(choose_kernels(trial_, ExactTiles::automatic), c10::Error) << message;
    trial_.type = at::kBFloat16;
    trial_.time = second(2);
    EXPECT_FALSE(choose_kernels(trial_, ExactTiles::automatic).kernels.fused)
        << "with a timer the choice need not be reproducible";
    ordered_fails_ = nullptr;
    plain_fails_ = message;
    EXPECT_TRUE(choose_kernels(trial_, ExactTiles::no).kernels.fused);
    trial_.time = {};
    EXPECT_THROW(choose_kernels(trial_, ExactTiles::no), c10::Error) << message;
    plain_fails_ = nullptr;
  }
}

TEST_F(KernelChoice, StopsAfterADeviceFailure) {
  fused_faults_ = {convolution(3)};
  ordered_fails_ = "CUDA error: an illegal memory access was encountered";
  EXPECT_THROW(choose_kernels(trial_, ExactTiles::automatic), c10::Error);
  trial_.time = [](const std::function<void()>&) { return 1.0; };
  EXPECT_THROW(choose_kernels(trial_, ExactTiles::automatic), c10::Error);
  EXPECT_FALSE(choose_kernels(trial_, ExactTiles::no).kernels.fused);
}

TEST_F(KernelChoice, ComparesKernelsForSmallAndLargeImages) {
  choose_kernels(trial_, ExactTiles::yes);
  using Sizes = std::vector<std::pair<std::int64_t, std::int64_t>>;
  EXPECT_EQ(compared_.at(convolution(0)), (Sizes{{40, 40}, {93, 93}})) << "independent of the input's size";
}

TEST_F(KernelChoice, Float32HasAFixedReductionOrderWithoutATimer) {
  trial_.type = at::kFloat;
  EXPECT_EQ(choose_kernels(trial_, ExactTiles::automatic).kernels.ordered.size(), 13U);
  EXPECT_TRUE(choose_kernels(trial_, ExactTiles::no).kernels.ordered.empty());
  no_ordered_ = true;
  tessera::KernelChoice choice = choose_kernels(trial_, ExactTiles::automatic);
  EXPECT_TRUE(choice.kernels.ordered.empty() && choice.kernels.fused && choice.translation_invariant);
  no_ordered_ = false;
  trial_.time = [](const std::function<void()>&) { return 1.0; };
  EXPECT_TRUE(choose_kernels(trial_, ExactTiles::automatic).kernels.ordered.empty()) << "the fastest";
}

TEST_F(KernelChoice, AllLayersHaveAFixedReductionOrder) {
  fused_faults_ = {convolution(0), convolution(4)};
  const tessera::KernelChoice choice = choose_kernels(trial_, ExactTiles::yes);
  // Depth 2: ten convolutions, two up-convolutions, one convolution to the classes.
  EXPECT_EQ(choice.kernels.ordered.size(), 13U);
  EXPECT_TRUE(choice.translation_invariant && choice.shape_invariant);
  trial_.can_order = false;
  EXPECT_THROW(choose_kernels(trial_, ExactTiles::yes), c10::Error);
  trial_.can_order = true;
  error_ = 5;
  EXPECT_THROW(choose_kernels(trial_, ExactTiles::yes), c10::Error);
  error_ = 0;
  no_ordered_ = true;
  EXPECT_THROW(choose_kernels(trial_, ExactTiles::yes), c10::Error);
  no_ordered_ = false;
  size_dependence_ = 1;
  EXPECT_THROW(choose_kernels(trial_, ExactTiles::yes), c10::Error) << "the invariance is tested";
}

}  // namespace
}  // namespace tessera
