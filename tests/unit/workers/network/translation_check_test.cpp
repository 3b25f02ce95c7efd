#include "workers/network/translation_check.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "random_network.h"
#include "workers/network/network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

class TranslationCheck : public ::testing::TestWithParam<testing::NetworkCase> {
 protected:
  /// Logits in units of 1e-3, rounded. They are computed in double precision: the position dependence of the
  /// CPU's kernels is about 1e-13 there, and rounding hides it. In single precision it can be 1e-4.
  at::Tensor whole_logits(const at::Tensor& x) {
    return (network_->forward(x.to(at::kDouble)) * 1e3).round().to(at::kFloat);
  }
  std::optional<bool> check(const std::function<at::Tensor(const at::Tensor&)>& run) const {
    const std::int64_t side = geometry_.input_side_for(9 * geometry_.alignment);
    return is_translation_invariant(geometry_, at::zeros({1, options_.in_channels, side, side}), run);
  }

  const UNetOptions options_ = testing::options_of(GetParam());
  const NetworkGeometry geometry_ = geometry_of(options_);

 private:
  static std::shared_ptr<Network> exact_network(const UNetOptions& options) {
    auto network = testing::random_network(options);
    network->eval();
    network->to(at::kDouble);
    return network;
  }

  const std::shared_ptr<Network> network_ = exact_network(options_);
  const c10::InferenceMode inference_;
};

TEST_P(TranslationCheck, AcceptsInvariantKernels) {
  int runs = 0;
  EXPECT_EQ(check([&](const at::Tensor& x) { return ++runs, whole_logits(x); }), true);
  EXPECT_GE(runs, 3) << "the pattern and its shifts";
}

TEST_P(TranslationCheck, RejectsOnePixelThatDependsOnItsPosition) {
  EXPECT_EQ(check([&](const at::Tensor& x) {
              const at::Tensor logits = whole_logits(x);
              logits.select(2, logits.size(2) / 2).select(2, logits.size(3) / 2).add_(0.1);
              return logits;
            }),
            false);
}

TEST_P(TranslationCheck, ChecksShapeInvariance) {
  const auto check_size = [&](const std::function<at::Tensor(const at::Tensor&)>& run) {
    const std::int64_t side = geometry_.input_side_for(9 * geometry_.alignment);
    return is_shape_invariant(geometry_,
                              at::zeros({1, options_.in_channels, side, side + geometry_.alignment}), run);
  };
  // A network on integers, which the CPU's kernels sum without rounding.
  const auto network = [&](const at::Tensor& x) {
    const bool same = geometry_.padding == Padding::same;
    const at::Tensor sums =
        at::conv2d((x * 1009).round(), at::ones({2, options_.in_channels, 3, 3}), {}, 1, 1);
    const std::int64_t margin = same ? 0 : geometry_.margin;
    return sums.narrow(2, margin, x.size(2) - 2 * margin).narrow(3, margin, x.size(3) - 2 * margin);
  };
  EXPECT_EQ(check_size(network), true);
  EXPECT_EQ(check_size([&](const at::Tensor& x) { return network(x) + static_cast<double>(x.size(3)); }),
            false);
  EXPECT_EQ(check_size([&](const at::Tensor& x) { return network(x) / 0.0; }), std::nullopt);
}

TEST(TranslationCheckOfALayer, APeriodicInputMustGiveAPeriodicOutput) {
  const c10::InferenceMode inference;
  const LayerInput input = {
      .samples = 2, .channels = 3, .height = 40, .width = 61, .options = at::TensorOptions(at::kFloat)};
  const at::Tensor weight = at::ones({4, 3, 3, 3});
  int runs = 0;
  const auto convolved = [&](const at::Tensor& x, int padding) {
    ++runs;
    EXPECT_EQ(x.sizes(), (std::vector<std::int64_t>{2, 3, 40, 61}));
    EXPECT_TRUE(x.is_contiguous(at::MemoryFormat::ChannelsLast));
    return at::conv2d((x * 1009).round(), weight, {}, 1, padding);
  };
  EXPECT_EQ(is_layer_translation_invariant(input, 2, 0, [&](const at::Tensor& x) { return convolved(x, 0); }),
            true);
  EXPECT_EQ(runs, 2) << "two periods";
  EXPECT_EQ(is_layer_translation_invariant(input, 1, 1, [&](const at::Tensor& x) { return convolved(x, 1); }),
            true);
  EXPECT_EQ(is_layer_translation_invariant(input, 1, 0, [&](const at::Tensor& x) { return convolved(x, 1); }),
            false)
      << "zero padding";
  for (const auto& [y, x] : {std::pair{0, 0}, {37, 58}, {20, 3}}) {
    const auto with_one_error = [&, y = y, x = x](const at::Tensor& image) {
      at::Tensor out = convolved(image, 0);
      out.select(0, 1).select(0, 3).select(0, y).select(0, x).add_(1);
      return out;
    };
    EXPECT_EQ(is_layer_translation_invariant(input, 1, 0, with_one_error), false) << y << ", " << x;
  }
  // Every second column differs. Shifts by an even number of pixels cannot detect this, and need not.
  const auto with_column_error = [&](const at::Tensor& image) {
    at::Tensor out = convolved(image, 0);
    out.slice(3, 0, at::nullopt, 2).add_(1);
    return out;
  };
  EXPECT_EQ(is_layer_translation_invariant(input, 1, 0, with_column_error), false);
  EXPECT_EQ(is_layer_translation_invariant(input, 2, 0, with_column_error), true);
  EXPECT_EQ(
      is_layer_translation_invariant(input, 16, 0, [&](const at::Tensor& x) { return convolved(x, 0); }),
      std::nullopt)
      << "too small";
  EXPECT_EQ(
      is_layer_translation_invariant(input, 1, 0, [&](const at::Tensor& x) { return convolved(x, 0) / 0.0; }),
      std::nullopt);
}

TEST(TranslationCheckOfSmallInputs, HaveNoResult) {
  const UNetOptions options = unet2015_options();
  const NetworkGeometry geometry = geometry_of(options);
  const auto run = [](const at::Tensor& x) { return at::rand({1, 2, x.size(2) - 184, x.size(3) - 184}); };
  EXPECT_EQ(is_translation_invariant(geometry, at::zeros({1, 1, 188, 188}), run), std::nullopt) << "4 pixels";
  EXPECT_EQ(is_translation_invariant(geometry, at::zeros({1, 1, 252, 252}), run), false) << "random numbers";
  const auto overflows = [](const at::Tensor& x) {
    return at::full({1, 2, x.size(2) - 184, x.size(3) - 184}, INFINITY);
  };
  EXPECT_EQ(is_translation_invariant(geometry, at::zeros({1, 1, 252, 252}), overflows), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Networks, TranslationCheck, ::testing::ValuesIn(testing::kNetworkCases),
                         [](const auto& test) { return test.param.what; });

}  // namespace
}  // namespace tessera
