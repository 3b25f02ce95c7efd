#include "workers/network/place_check.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "random_network.h"
#include "workers/network/tile_network.h"

namespace tessera {
namespace {

class PlaceCheck : public ::testing::TestWithParam<testing::NetworkCase> {};

TEST_P(PlaceCheck, KernelsThatSumAlikeEverywherePass) {
  const UNetOptions options = testing::options_of(GetParam());
  const NetworkGeometry geometry = geometry_of(options);
  const auto network = make_libtorch_network(*testing::random_network(options), Precision::float32, {});
  const c10::InferenceMode inference;
  const std::int64_t side = geometry.input_side_for(9 * geometry.alignment);
  int runs = 0;
  // In float64's stead: what the CPU's own kernels differ by from place to place is rounded away.
  const auto run = [&](const at::Tensor& x) {
    ++runs;
    return (network->logits(x) * 1e3).round();
  };
  EXPECT_EQ(is_independent_of_place(geometry, at::zeros({1, options.in_channels, side, side}), run), true);
  EXPECT_GE(runs, 3) << "as it is, and moved";
}

TEST_P(PlaceCheck, OnePixelThatDependsOnItsPlaceFails) {
  const UNetOptions options = testing::options_of(GetParam());
  const NetworkGeometry geometry = geometry_of(options);
  const auto network = make_libtorch_network(*testing::random_network(options), Precision::float32, {});
  const c10::InferenceMode inference;
  const std::int64_t side = geometry.input_side_for(9 * geometry.alignment);
  const auto run = [&](const at::Tensor& x) {
    at::Tensor logits = (network->logits(x) * 1e3).round();
    logits.select(2, logits.size(2) / 2).select(2, logits.size(3) / 2).add_(1e-1);
    return logits;
  };
  EXPECT_EQ(is_independent_of_place(geometry, at::zeros({1, options.in_channels, side, side}), run), false);
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
