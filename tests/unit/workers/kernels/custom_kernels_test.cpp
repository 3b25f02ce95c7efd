// Compares the custom CUDA kernels, compiled for the CPU, with LibTorch's operators.
#include "workers/kernels/custom_kernels.h"

#include <ATen/Functions.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <vector>

#include "tests/unit/workers/device/host_launcher.h"
#include "tests/unit/workers/network/random_network.h"
#include "workers/kernels/gpu_operators.h"
#include "workers/network/gpu_network.h"
#include "workers/network/unet.h"

namespace tessera {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Integers, so that pooling windows have ties.
at::Tensor some_image(std::int64_t samples, std::int64_t channels, std::int64_t height, std::int64_t width) {
  return gpu::channels_last(at::randint(-4, 5, {samples, channels, height, width}), at::kBFloat16);
}

at::Tensor noise(at::IntArrayRef shape) {
  return gpu::channels_last(at::randn(shape), at::kBFloat16);
}

/// Whether values are equal and NaN are at the same positions.
bool same(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.isnan().equal(b.isnan()) &&
         a.nan_to_num().equal(b.nan_to_num());
}

double largest(const at::Tensor& x) {
  return x.abs().max().item<double>();
}

class CustomKernels : public ::testing::Test {
 protected:
  CustomKernels() { at::manual_seed(12); }
  int started_ = 0;
  gpu::CustomKernels custom_{testing::host_launcher(started_)};
};

constexpr std::array<std::array<std::int64_t, 4>, 6> kShapes = {
    {{1, 8, 2, 2}, {2, 8, 5, 7}, {3, 24, 6, 9}, {1, 64, 11, 4}, {2, 512, 4, 12}, {1, 8, 3, 700}}};

TEST_F(CustomKernels, PoolLikeLibTorch) {
  for (const auto& [samples, channels, height, width] : kShapes) {
    const at::Tensor image = some_image(samples, channels, height, width);
    image.select(2, 1).select(2, 1).slice(1, 0, 3).fill_(kNan);
    image.select(2, 0).select(2, 0).slice(1, 2, 4).fill_(kNan);
    image.slice(2, 0, 2).slice(3, 0, 2).slice(1, 5, 6).fill_(-std::numeric_limits<float>::infinity());
    ASSERT_TRUE(custom_.can_take(image));
    const at::Tensor pooled = custom_.pool(image),
                     expected = at::max_pool2d(image.to(at::kFloat), 2).to(at::kBFloat16);
    EXPECT_TRUE(pooled.is_contiguous(at::MemoryFormat::ChannelsLast));
    EXPECT_TRUE(same(pooled, expected)) << image.sizes();
  }
  EXPECT_EQ(started_, 6);
}

TEST_F(CustomKernels, JoinLikeLibTorch) {
  for (const auto& [samples, channels, height, width] : kShapes) {
    for (const std::int64_t less : {0, 1, 2, 5}) {
      if (less >= height || less + 1 >= width) continue;
      for (const double kept : {1.0, 0.5, 0.7}) {
        const std::int64_t crop_height = height - less, crop_width = width - (less == 0 ? 0 : less + 1);
        const at::Tensor image = at::relu(some_image(samples, channels, height, width));
        image.select(2, 1).select(2, 0).slice(1, 0, 3).fill_(kNan);
        const at::Tensor pooled_gradient = noise({samples, channels, height / 2, width / 2}),
                         crop_gradient = noise({samples, 2 * channels, crop_height, crop_width});
        const at::Tensor found =
            custom_.join(image, pooled_gradient, crop_gradient, crop_height, crop_width, kept);

        const at::Tensor x = image.to(at::kFloat);
        const at::Tensor places = std::get<1>(at::max_pool2d_with_indices(x, {2, 2}, {2, 2}));
        at::Tensor gradient = at::max_pool2d_with_indices_backward(pooled_gradient.to(at::kFloat), x, {2, 2},
                                                                   {2, 2}, {0, 0}, {1, 1}, false, places);
        gpu::middle_of(gradient, crop_height, crop_width)
            .add_(crop_gradient.narrow(1, 0, channels).to(at::kFloat));
        const at::Tensor expected = (at::threshold_backward(gradient, x, 0) / kept).to(at::kBFloat16);
        ASSERT_GT(largest(expected), 0);
        EXPECT_TRUE(found.is_contiguous(at::MemoryFormat::ChannelsLast));
        // The kernel multiplies by 1 / 0.7, which is not a float.
        if (kept == 0.7)
          EXPECT_TRUE(found.to(at::kFloat).allclose(expected.to(at::kFloat), 0.01, 0));
        else
          EXPECT_TRUE(same(found, expected)) << image.sizes() << ", " << less << " pixels less";
      }
    }
  }
  EXPECT_GT(started_, 40);
}

TEST_F(CustomKernels, ConvolveOneChannel) {
  for (const auto& [samples, filters, height, width] : std::vector<std::array<std::int64_t, 4>>{
           {1, 8, 3, 3}, {2, 24, 5, 13}, {3, 64, 9, 8}, {1, 128, 17, 30}, {1, 16, 4, 1100}}) {
    for (const std::int64_t padding : {0, 1}) {
      const at::Tensor x = noise({samples, 1, height, width}), weight = noise({filters, 1, 3, 3}),
                       bias = at::randn({filters}).to(at::kBFloat16);
      ASSERT_TRUE(custom_.can_convolve(x, weight, bias));
      const at::Tensor found = custom_.convolve_and_rectify(x, weight, bias, padding);
      const auto expected_of = [&](const at::Tensor& of) {
        return at::relu(
            at::conv2d(of.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble), 1, padding));
      };
      const at::Tensor expected = expected_of(x);
      ASSERT_EQ(found.sizes(), expected.sizes());
      EXPECT_TRUE(found.is_contiguous(at::MemoryFormat::ChannelsLast));
      // The tolerance is half of bfloat16's last place plus the rounding of the float32 sum.
      EXPECT_TRUE(found.to(at::kDouble).allclose(expected, 1.0 / 256, 1e-5)) << found.sizes();
      const at::Tensor broken = x.clone();
      broken.select(2, height / 2).select(2, width / 2).fill_(kNan);
      EXPECT_TRUE(custom_.convolve_and_rectify(broken, weight, bias, padding)
                      .isnan()
                      .equal(expected_of(broken).isnan()))
          << "a NaN stays visible";
    }
  }
}

TEST_F(CustomKernels, ClassifyWithoutRounding) {
  for (const auto& [samples, channels, height, width] : kShapes) {
    for (const std::int64_t classes : {1, 2, 3, 4}) {
      const at::Tensor image = noise({samples, channels, height, width}),
                       weight = noise({classes, channels, 1, 1}),
                       bias = at::randn({classes}).to(at::kBFloat16);
      ASSERT_TRUE(custom_.can_classify(image, weight, bias));
      const at::Tensor found = custom_.classify(image, weight, bias),
                       expected =
                           at::conv2d(image.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
      EXPECT_TRUE(found.is_contiguous());
      EXPECT_LE(largest(found - expected), 1e-5 * largest(expected));
    }
  }
}

TEST_F(CustomKernels, RejectUnsupportedInputs) {
  const at::Tensor image = some_image(1, 8, 6, 6), x = noise({1, 1, 6, 6}), weight = noise({8, 1, 3, 3}),
                   bias = noise({1, 8, 1, 1}).flatten();
  EXPECT_FALSE(gpu::CustomKernels({}).can_take(image)) << "no launcher";
  EXPECT_FALSE(custom_.can_take(image.to(at::kFloat)));
  EXPECT_FALSE(custom_.can_take(image.contiguous()));
  EXPECT_FALSE(custom_.can_take(some_image(1, 6, 6, 6)));
  EXPECT_FALSE(custom_.can_take(some_image(2, 16, 6, 6).narrow(1, 0, 8))) << "part of the channels";
  EXPECT_TRUE(custom_.can_convolve(x, weight, bias));
  EXPECT_FALSE(custom_.can_convolve(noise({1, 3, 6, 6}), noise({8, 3, 3, 3}), bias));
  EXPECT_FALSE(custom_.can_convolve(x, noise({136, 1, 3, 3}), noise({1, 136, 1, 1}).flatten()));
  EXPECT_FALSE(custom_.can_convolve(x.to(at::kHalf), weight.to(at::kHalf), bias.to(at::kHalf)));
  EXPECT_FALSE(custom_.can_classify(image, noise({5, 8, 1, 1}), noise({1, 5, 1, 1}).flatten()));
}

TEST_F(CustomKernels, AgreeWithLibTorchInANetwork) {
  const c10::InferenceMode inference;
  for (const testing::NetworkCase& c : testing::kNetworkCases) {
    const UNetOptions options = testing::options_of(c);
    const auto network = testing::random_network(options);
    started_ = 0;
    const GpuNetworkOptions plain{.kernels = GpuKernels{}},
        with_custom{.kernels = GpuKernels{.own = true}, .launch = testing::host_launcher(started_)};
    const std::int64_t side = geometry_of(options).input_side_for(16);
    const at::Tensor input = at::randn({2, options.in_channels, side, side});
    const at::Tensor expected = make_gpu_network(*network, Precision::bfloat16, {}, plain)->logits(input),
                     found = make_gpu_network(*network, Precision::bfloat16, {}, with_custom)->logits(input);
    EXPECT_LE(largest(found - expected), 0.05 * largest(expected)) << c.what;
    EXPECT_EQ(started_ > 0, c.filters != 5 || c.depth > 3) << c.what;
    started_ = 0;
    make_gpu_network(*network, Precision::float32, {}, with_custom)->logits(input);
    EXPECT_EQ(started_, 0) << "only in bfloat16";
  }
}

}  // namespace
}  // namespace tessera
