#include "workers/network/place_check.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>

#include "random_network.h"
#include "workers/network/tile_network.h"

namespace tessera {
namespace {

class PlaceCheck : public ::testing::TestWithParam<testing::NetworkCase> {
 protected:
  /// Logits in whole numbers: what the CPU's own kernels differ by from place to place is rounded away.
  at::Tensor whole_logits(const at::Tensor& x) { return (network_->logits(x) * 1e3).round(); }
  std::optional<bool> check(const std::function<at::Tensor(const at::Tensor&)>& run) const {
    const std::int64_t side = geometry_.input_side_for(9 * geometry_.alignment);
    return is_independent_of_place(geometry_, at::zeros({1, options_.in_channels, side, side}), run);
  }

 private:
  const UNetOptions options_ = testing::options_of(GetParam());
  const NetworkGeometry geometry_ = geometry_of(options_);
  const std::unique_ptr<TileNetwork> network_ = make_libtorch_network(*testing::random_network(options_), Precision::float32, {});
  const c10::InferenceMode inference_;
};

TEST_P(PlaceCheck, KernelsThatSumAlikeEverywherePass) {
  int runs = 0;
  EXPECT_EQ(check([&](const at::Tensor& x) { return ++runs, whole_logits(x); }), true);
  EXPECT_GE(runs, 3) << "as it is, and moved";
}

TEST_P(PlaceCheck, OnePixelThatDependsOnItsPlaceFails) {
  EXPECT_EQ(check([&](const at::Tensor& x) {
              const at::Tensor logits = whole_logits(x);
              logits.select(2, logits.size(2) / 2).select(2, logits.size(3) / 2).add_(0.1);
              return logits;
            }),
            false);
}

TEST(PlaceCheckOfSmallInputs, ThereIsNothingToCompare) {
  const UNetOptions options = unet2015_options();
  const NetworkGeometry geometry = geometry_of(options);
  const auto run = [](const at::Tensor& x) { return at::rand({1, 2, x.size(2) - 184, x.size(3) - 184}); };
  EXPECT_EQ(is_independent_of_place(geometry, at::zeros({1, 1, 188, 188}), run), std::nullopt) << "4 pixels";
  EXPECT_EQ(is_independent_of_place(geometry, at::zeros({1, 1, 252, 252}), run), false) << "random numbers";
  const auto overflows = [](const at::Tensor& x) { return at::full({1, 2, x.size(2) - 184, x.size(3) - 184}, INFINITY); };
  EXPECT_EQ(is_independent_of_place(geometry, at::zeros({1, 1, 252, 252}), overflows), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(Networks, PlaceCheck, ::testing::ValuesIn(testing::kNetworkCases),
                         [](const auto& test) { return test.param.what; });

}  // namespace
}  // namespace tessera
