#include "workers/kernels/gpu_operators.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include "workers/gradients/flat_parameters.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

at::Tensor image(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
  return gpu::channels_last(at::randn(sizes), type);
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

/// Whole images and parts of images with pixels of 2 to 64 bytes, which are copied in elements of every
/// width.
TEST(GpuOperators, CopiesImagesWithEveryNumberOfChannels) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const std::int64_t channels : {1, 2, 3, 4, 8, 16, 24}) {
      const at::Tensor from = image({2, channels, 9, 12}, type);
      for (const std::int64_t others : {0, 1, 8}) {
        const at::Tensor both = image({2, others + channels, 5, 6}, type), before = both.clone();
        gpu::copy_image(gpu::middle_of(from, 5, 6), both.narrow(1, others, channels));
        EXPECT_TRUE(both.narrow(1, others, channels).equal(from.slice(2, 2, 7).slice(3, 3, 9)))
            << channels << " behind " << others;
        EXPECT_TRUE(both.narrow(1, 0, others).equal(before.narrow(1, 0, others)));
      }
    }
  }
}

TEST(GpuOperators, GatherInvertsShuffle) {
  for (const std::int64_t filters : {1, 2, 8}) {
    const at::Tensor product = image({2, 4 * filters, 5, 7}, at::kBFloat16),
                     both = image({2, 3 + filters, 10, 14}, at::kBFloat16);
    at::Tensor filled = both;
    gpu::shuffle_into(product, filled);
    for (std::int64_t dy : {0, 1}) {
      for (std::int64_t dx : {0, 1}) {
        EXPECT_TRUE(filled.narrow(1, 3, filters)
                        .slice(2, dy, 10, 2)
                        .slice(3, dx, 14, 2)
                        .equal(product.narrow(1, (2 * dy + dx) * filters, filters)));
      }
    }
    EXPECT_TRUE(gpu::gather_from(filled, filters).equal(product));
  }
}

TEST(GpuOperators, AProductAndItsGradientsEqualAConvolution) {
  const at::Tensor x = image({3, 5, 6, 10}), weight = gpu::channels_last(at::randn({7, 5, 1, 1}), at::kFloat),
                   bias = at::randn({7});
  const at::Tensor right = at::conv2d(x, weight, bias);
  EXPECT_LE(difference(gpu::product(x, weight, bias), right), 1e-5);
  const at::Tensor given = gpu::channels_last(at::randn(right.sizes()), at::kFloat);
  const auto [by_x, by_weight, by_bias] = at::convolution_backward(
      given, x, weight, at::IntArrayRef{7}, {1, 1}, {0, 0}, {1, 1}, false, {0, 0}, 1, {true, true, true});
  EXPECT_LE(difference(gpu::product_gradient_by_x(given, weight), by_x), 1e-5);
  EXPECT_LE(difference(gpu::product_gradient_by_weight(given, x), by_weight.flatten(1)), 1e-4);
  EXPECT_LE(difference(gpu::sum_over_pixels(given), by_bias), 1e-4);
}

TEST(GpuOperators, RowsOfZerosChangeNoOtherRow) {
  const at::Tensor weight = at::randn({2, 5, 1, 1}), padded = gpu::padded_rows(weight);
  EXPECT_EQ(padded.sizes(), (at::IntArrayRef{8, 5, 1, 1}));
  EXPECT_TRUE(padded.narrow(0, 0, 2).equal(weight));
  EXPECT_EQ(padded.narrow(0, 2, 6).abs().max().item<float>(), 0);
  EXPECT_EQ(gpu::padded_rows(at::ones({16})).numel(), 16);
}

TEST(GpuOperators, TapsTimesTheWeightEqualTheConvolution) {
  for (const std::int64_t channels : {1, 3}) {
    for (const std::int64_t padding : {0, 1}) {
      const at::Tensor x = image({2, channels, 6, 9}), weight = at::randn({4, channels, 3, 3}),
                       bias = at::randn({4});
      const at::Tensor taps = gpu::taps_of(x, padding);
      EXPECT_EQ(taps.size(1) % 8, 0);
      const at::Tensor rows = at::zeros({4, taps.size(1)});
      rows.narrow(1, 0, 9 * channels).copy_(weight.flatten(1));
      rows.select(1, 9 * channels).copy_(bias);
      EXPECT_LE(
          difference(at::conv2d(taps, rows.reshape({4, -1, 1, 1})), at::conv2d(x, weight, bias, 1, padding)),
          1e-5);
    }
  }
}

/// Kernels read 16-byte vectors, and some need aligned tensors (cuDNN's batch normalisation).
TEST(FlatParameters, AreAlignedForGpuKernels) {
  for (const UNetOptions& preset : {unet2015_options(), keras_same_options()}) {
    UNetOptions options = preset;
    options.base_filters = 2;
    FlatParameters parameters(make_network(options, 3), at::kCPU);
    ASSERT_GT(parameters.entries().size(), 40U);
    std::int64_t end = 0;
    for (const FlatParameters::Entry& entry : parameters.entries()) {
      EXPECT_EQ(entry.begin % 64, 0) << entry.name;
      EXPECT_GE(entry.begin, end) << entry.name;
      // Gaps must be 0, because reductions include them.
      EXPECT_EQ(parameters.values().slice(0, end, entry.begin).abs().sum().item<float>(), 0) << entry.name;
      end = entry.begin + entry.count();
    }
    EXPECT_EQ(parameters.values().numel(), end);
  }
}

}  // namespace
}  // namespace tessera
