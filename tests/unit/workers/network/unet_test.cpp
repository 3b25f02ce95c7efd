#include "workers/network/unet.h"

#include <gtest/gtest.h>

#include <cmath>

#include "golden_network.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"

namespace tessera {
namespace {

std::int64_t trainable(const Network& network) {
  std::int64_t count = 0;
  for (const auto& parameter : network.parameters())
    count += parameter.numel();
  return count;
}

std::int64_t statistics(const Network& network) {
  std::int64_t count = 0;
  for (const auto& item : network.named_buffers()) {
    if (item.key().find("running") != std::string::npos) count += item.value().numel();
  }
  return count;
}

TEST(UNet2015, HasThePapersParametersAndLayers) {
  Network network(unet2015_options());
  EXPECT_EQ(trainable(network), 31'030'658);
  EXPECT_EQ(parameter_count(unet2015_options()), 31'030'658);
  int layers = 0;
  for (const auto& item : network.named_parameters())
    layers += item.value().dim() == 4;
  EXPECT_EQ(layers, 23);
}

TEST(KerasSame, HasTheKerasParameters) {
  Network two(keras_same_options());
  EXPECT_EQ(trainable(two) + statistics(two), 2'164'305);
  EXPECT_EQ(statistics(two), 2'944);
  EXPECT_EQ(parameter_count(keras_same_options()), trainable(two));
  UNetOptions options = keras_same_options();
  options.block_convs = 1;
  Network one(options);
  EXPECT_EQ(trainable(one) + statistics(one), 1'179'121);
  EXPECT_EQ(statistics(one), 1'472);
}

struct GoldenCase {
  const char* file;
  UNetOptions options;
};

class Golden : public ::testing::TestWithParam<GoldenCase> {};

TEST_P(Golden, ForwardEqualsTheIndependentImplementation) {
  UNetOptions options = GetParam().options;
  options.base_filters = 2;
  const auto network = std::make_shared<Network>(options);
  const Hdf5Handle file = open_hdf5_file(std::string(TESSERA_GOLDEN) + "/" + GetParam().file);
  testing::load_golden_weights(*network, file.get());
  network->eval();
  torch::NoGradGuard no_grad;
  const at::Tensor expected = testing::golden_tensor(file.get(), "logits");
  const at::Tensor input = testing::golden_tensor(file.get(), "input");
  const at::Tensor logits = network->forward(input);
  ASSERT_EQ(logits.sizes(), expected.sizes());
  EXPECT_LE((logits - expected).abs().max().item<float>(),
            1e-5 * std::max(1.0F, expected.abs().max().item<float>()));
  EXPECT_GT(expected.std().item<float>(), 1e-3) << "a constant golden output would not test anything";
  // channels_last uses other kernels of the library.
  const at::Tensor again = network->forward(input.contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_LE((again - expected).abs().max().item<float>(),
            1e-5 * std::max(1.0F, expected.abs().max().item<float>()));
}

INSTANTIATE_TEST_SUITE_P(Networks, Golden,
                         ::testing::Values(GoldenCase{"unet2015.h5", unet2015_options()},
                                           GoldenCase{"keras_same.h5", keras_same_options()}),
                         [](const auto& test) { return test.index == 0 ? "unet2015" : "keras_same"; });

TEST(UNet, OutputSidesFollowTheGeometry) {
  torch::NoGradGuard no_grad;
  int checked = 0;
  for (int depth = 1; depth <= 4; ++depth) {
    for (const Padding padding : {Padding::valid, Padding::same}) {
      for (int convs = 1; convs <= 2; ++convs) {
        UNetOptions options;
        options.depth = depth;
        options.padding = padding;
        options.block_convs = convs;
        options.base_filters = 1;
        Network network(options);
        const NetworkGeometry geometry = geometry_of(options);
        for (std::int64_t side = geometry.smallest_input, k = 0; k < 3; side += geometry.alignment, ++k) {
          const at::Tensor y = network.forward(at::zeros({1, 1, side, side + geometry.alignment}));
          EXPECT_EQ(y.size(2), geometry.output_side(side));
          EXPECT_EQ(y.size(3), geometry.output_side(side + geometry.alignment));
          ++checked;
        }
      }
    }
  }
  EXPECT_EQ(checked, 48);
}

TEST(HeInitialisation, HasThePapersStandardDeviation) {
  const std::shared_ptr<Network> network = make_network(unet2015_options(), 7);
  int checked = 0;
  for (const auto& item : network->named_parameters()) {
    const at::Tensor& w = item.value();
    if (w.dim() != 4) {
      EXPECT_EQ(w.abs().max().item<float>(), 0) << item.key();
      continue;
    }
    if (w.numel() < 2000) continue;
    const bool up = item.key().find("ups") == 0;
    const double incoming =
        up ? static_cast<double>(w.size(0)) : static_cast<double>(w.size(1) * w.size(2) * w.size(3));
    const double expected = std::sqrt(2 / incoming), n = static_cast<double>(w.numel());
    // Five standard errors of the estimates.
    EXPECT_NEAR(w.std().item<double>(), expected, 5 * expected / std::sqrt(2 * n)) << item.key();
    EXPECT_NEAR(w.mean().item<double>(), 0, 5 * expected / std::sqrt(n)) << item.key();
    ++checked;
  }
  EXPECT_EQ(checked, 21);  // all convolutions except the first and the 1x1
}

TEST(HeInitialisation, KeepsTheScaleOfTheActivations) {
  UNetOptions options;
  options.base_filters = 16;
  const std::shared_ptr<Network> network = make_network(options, 3);
  network->eval();
  torch::NoGradGuard no_grad;
  at::manual_seed(1);
  const double deviation = network->forward(at::randn({1, 1, 252, 252})).std().item<double>();
  EXPECT_GT(deviation, 0.1);
  EXPECT_LT(deviation, 10);
}

TEST(HeInitialisation, IsReproducibleForASeed) {
  UNetOptions options;
  options.base_filters = 4;
  const auto a = make_network(options, 1), b = make_network(options, 1), c = make_network(options, 2);
  EXPECT_TRUE(a->parameters()[0].equal(b->parameters()[0]));
  EXPECT_FALSE(a->parameters()[0].equal(c->parameters()[0]));
}

TEST(Dropout, IsAtTheEndOfTheContractingPath) {
  UNetOptions options;
  options.base_filters = 4;
  const std::shared_ptr<Network> network = make_network(options, 1);
  const at::Tensor x = at::rand({1, 1, 188, 188});
  torch::NoGradGuard no_grad;
  network->train();
  EXPECT_FALSE(network->forward(x).equal(network->forward(x))) << "training must use dropout";
  network->eval();
  EXPECT_TRUE(network->forward(x).equal(network->forward(x))) << "prediction must not use dropout";
}

}  // namespace
}  // namespace tessera
