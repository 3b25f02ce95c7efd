// Compares the kernels, compiled for the CPU, with a sequential sum and with LibTorch's convolution.
#include "workers/kernels/fixed_order_convolution.h"

#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/unit/workers/device/host_launcher.h"
#include "tests/unit/workers/kernels/convolution_cases.h"
#include "workers/kernels/gpu_operators.h"

namespace tessera {
namespace {

using testing::Case;
using testing::convolved_by;
using testing::in_double;
using testing::Tensors;
using testing::tensors_of;
using testing::text;

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

// 3x3 without and with padding, 1x1, and 2x2 with padding at the top and left. The cases cover partial
// blocks, several blocks, many steps, and channels that are not a multiple of a 16-byte vector.
constexpr std::array<Case, 9> kCases = {{{1, 8, 8, 3, 3, 3, 0, 0},
                                         {1, 1, 16, 9, 14, 3, 0, 0},
                                         {2, 16, 72, 7, 12, 3, 1, 1},
                                         {1, 3, 8, 20, 19, 3, 1, 1},
                                         {1, 72, 136, 5, 4, 3, 0, 0},
                                         {3, 24, 200, 5, 9, 1, 0, 0},
                                         {1, 40, 64, 6, 5, 2, 1, 0},
                                         {1, 4, 8, 7, 7, 5, 2, 2},
                                         {1, 64, 64, 18, 17, 3, 0, 0}}};
constexpr std::array<const char*, 3> kParts = {"large", "narrow", "small"};
const std::array<testing::HostThreads, 2> kOrders = {testing::HostThreads{},
                                                     {.backwards = true, .late_copies = true}};

/// Launches one kernel for every size.
KernelLauncher by_part(const std::string& part, testing::HostThreads order, int& started) {
  return [launch = testing::host_launcher(started, order), part](const KernelStart& start,
                                                                 std::span<void*> arguments) {
    const std::string name = start.name, of_type = name.substr(0, name.rfind('_') + 1) + part;
    const auto* const convolution = static_cast<const int*>(arguments[4]);
    const int pixels = convolution[0], filters = convolution[6];
    const int down = part == "large" ? 128 : part == "narrow" ? 256 : 64, across = part == "large" ? 128 : 64;
    launch({.name = of_type.c_str(),
            .blocks_x = (pixels + down - 1) / down,
            .blocks_y = (filters + across - 1) / across},
           arguments);
  };
}

at::Tensor convolved(const Tensors& t, const Case& c, const std::string& part, testing::HostThreads order,
                     bool rectify) {
  int started = 0;
  at::Tensor found = convolved_by(gpu::FixedOrderConvolution(by_part(part, order, started)), t, c, rectify);
  EXPECT_EQ(started, 1);
  return found;
}

/// The sequential sum: one multiplication and one addition at a time.
at::Tensor term_by_term(const Tensors& t, const Case& c, bool rectify) {
  const at::Tensor padded = at::constant_pad_nd(t.x, {c.before, c.after, c.before, c.after}).contiguous();
  const std::int64_t height = padded.size(2) - c.side + 1, width = padded.size(3) - c.side + 1;
  at::Tensor out = at::empty({c.samples, c.filters, height, width});
  const auto in = padded.accessor<float, 4>(), weight = t.weight.accessor<float, 4>();
  const auto bias = t.bias.accessor<float, 1>();
  auto to = out.accessor<float, 4>();
  for (std::int64_t n = 0; n < c.samples; ++n) {
    for (std::int64_t f = 0; f < c.filters; ++f) {
      for (std::int64_t y = 0; y < height; ++y) {
        for (std::int64_t x = 0; x < width; ++x) {
          float sum = 0;
          for (std::int64_t tap = 0; tap < c.side * c.side; ++tap) {
            for (std::int64_t channel = 0; channel < c.channels; ++channel)
              sum = std::fma(in[n][channel][y + tap / c.side][x + tap % c.side],
                             weight[f][channel][tap / c.side][tap % c.side], sum);
          }
          sum += bias[f];
          to[n][f][y][x] = rectify && sum < 0 ? 0 : sum;
        }
      }
    }
  }
  return out;
}

TEST(FixedOrderConvolution, Float32EqualsTheSequentialSum) {
  for (const Case& c : kCases) {
    for (const bool rectify : {false, true}) {
      const Tensors t = tensors_of(c, at::kFloat);
      const at::Tensor expected = term_by_term(t, c, rectify);
      const at::Tensor likewise =
          at::conv2d(at::constant_pad_nd(t.x, {c.before, c.after, c.before, c.after}), t.weight, t.bias);
      ASSERT_TRUE(expected.allclose(rectify ? likewise.relu() : likewise, 1e-4, 1e-4)) << text(c);
      for (const char* part : kParts) {
        for (const auto& order : kOrders)
          EXPECT_TRUE(convolved(t, c, part, order, rectify).equal(expected)) << text(c) << ", " << part;
      }
    }
  }
}

/// Checks 16-bit types with a relative precision of `last_place`.
void sums_in_float32(at::ScalarType type, double last_place, std::span<const testing::HostThreads> orders) {
  int compared = 0;
  bool rectify = false;
  for (const Case& c : kCases) {
    const Tensors t = tensors_of(c, type);
    const at::Tensor expected = in_double(t, c, rectify);
    const at::Tensor first = convolved(t, c, kParts.front(), orders.front(), rectify);
    ASSERT_EQ(first.scalar_type(), type);
    // The tolerance is half of the last place plus the rounding of the float32 sum.
    EXPECT_TRUE(first.to(at::kDouble).allclose(expected, last_place / 2, 1e-4)) << text(c);
    for (const char* part : kParts) {
      for (const auto& order : orders) {
        if (part == kParts.front() && &order == orders.data()) continue;
        EXPECT_TRUE(convolved(t, c, part, order, rectify).equal(first)) << text(c) << ", " << part;
        ++compared;
      }
    }
    rectify = !rectify;
  }
  EXPECT_EQ(compared, static_cast<int>(kCases.size() * (kParts.size() * orders.size() - 1)));
}

TEST(FixedOrderConvolution, SumsBfloat16InFloat32) {
  sums_in_float32(at::kBFloat16, 1.0 / 128, kOrders);
}

TEST(FixedOrderConvolution, SumsFloat16InFloat32) {
  sums_in_float32(at::kHalf, 1.0 / 1024, std::span(kOrders).first(1));
}

TEST(FixedOrderConvolution, APartOfAnImageGivesThatPartOfTheOutput) {
  constexpr Case kWhole = {1, 16, 8, 40, 50, 3, 0, 0};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Tensors t = tensors_of(kWhole, type);
    int started = 0;
    const gpu::FixedOrderConvolution by(testing::host_launcher(started));
    const at::Tensor whole = by.convolve(t.x, t.weight, t.bias, 0, 0, true);
    for (const auto& [y, x, height, width] :
         std::vector<std::array<std::int64_t, 4>>{{0, 0, 3, 3}, {7, 11, 20, 17}, {1, 2, 39, 48}}) {
      const at::Tensor part = t.x.narrow(2, y, height).narrow(3, x, width);
      EXPECT_TRUE(by.convolve(part, t.weight, t.bias, 0, 0, true)
                      .equal(whole.narrow(2, y, height - 2).narrow(3, x, width - 2)));
    }
    EXPECT_EQ(started, 4);
  }
}

TEST(FixedOrderConvolution, SupportsEveryMemoryLayout) {
  constexpr Case kCase = {1, 8, 8, 7, 6, 3, 0, 0};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Tensors t = tensors_of(kCase, type);
    const at::Tensor expected = convolved(t, kCase, "small", {}, true);
    // Images that are not aligned to 16 bytes, part of an image's channels, and channels that are not
    // contiguous.
    const at::Tensor further = at::empty({t.x.numel() + 1}, t.x.options())
                                   .narrow(0, 1, t.x.numel())
                                   .view({1, 7, 6, 8})
                                   .permute({0, 3, 1, 2});
    further.copy_(t.x);
    const at::Tensor part = gpu::channels_last(at::cat({t.x, t.x}, 1), type).narrow(1, 8, 8),
                     apart = t.x.contiguous();
    for (const at::Tensor& x : {further, part, apart})
      EXPECT_TRUE(convolved({x, t.weight.contiguous(), t.bias}, kCase, "small", {}, true).equal(expected));
  }
}

TEST(FixedOrderConvolution, IgnoresSharedMemoryOfThePreviousBlock) {
  // Large enough to fill the whole shared memory with NaN.
  constexpr Case kBefore = {1, 32, 128, 18, 18, 3, 0, 0}, kCase = {1, 8, 8, 5, 5, 3, 0, 0};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Tensors before = tensors_of(kBefore, type), t = tensors_of(kCase, type);
    before.x.fill_(kNotANumber);
    before.weight.fill_(kNotANumber);
    const at::Tensor expected =
        at::conv2d(t.x.to(at::kDouble), t.weight.to(at::kDouble), t.bias.to(at::kDouble));
    for (const char* part : kParts) {
      for (const auto& order : kOrders) {
        EXPECT_TRUE(convolved(before, kBefore, part, order, false).isnan().all().item<bool>());
        EXPECT_TRUE(
            convolved(t, kCase, part, order, false).to(at::kDouble).allclose(expected, 1.0 / 256, 1e-4))
            << part;
      }
    }
  }
}

TEST(FixedOrderConvolution, LargeImagesUseLargeBlocks) {
  std::vector<std::string> names;
  const gpu::FixedOrderConvolution by(
      [&](const KernelStart& start, std::span<void*>) { names.emplace_back(start.name); });
  const auto convolve = [&](std::int64_t channels, std::int64_t filters, std::int64_t side) {
    by.convolve(gpu::channels_last(at::zeros({1, channels, side, side}), at::kBFloat16),
                gpu::channels_last(at::zeros({filters, channels, 3, 3}), at::kBFloat16),
                at::zeros({filters}).to(at::kBFloat16), 0, 0, true);
  };
  convolve(8, 64, 300);
  convolve(8, 128, 300);
  convolve(8, 64, 30);
  convolve(8, 512, 30);
  EXPECT_EQ(names,
            (std::vector<std::string>{"tessera_convolve_bfloat16_narrow", "tessera_convolve_bfloat16_large",
                                      "tessera_convolve_bfloat16_small", "tessera_convolve_bfloat16_small"}));
  for (const std::int64_t filters : {8, 64, 72, 128, 1024}) {
    names.clear();
    const std::vector<std::int64_t> sides =
        by.sides_of_kernels(gpu::channels_last(at::zeros({filters, 8, 3, 3}), at::kBFloat16), 2);
    ASSERT_EQ(sides.size(), 2U);
    EXPECT_EQ(sides[0], 20);
    convolve(8, filters, sides[1]);
    convolve(8, filters, sides[1] - 1);
    EXPECT_EQ(names, (std::vector<std::string>{filters > 64 ? "tessera_convolve_bfloat16_large"
                                                            : "tessera_convolve_bfloat16_narrow",
                                               "tessera_convolve_bfloat16_small"}));
  }
}

TEST(FixedOrderConvolution, NanStaysVisible) {
  constexpr Case kCase = {1, 8, 8, 9, 9, 3, 1, 1};
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    Tensors t = tensors_of(kCase, type);
    t.x.select(2, 4).select(2, 5).fill_(kNotANumber);
    const at::Tensor expected =
        at::relu(at::conv2d(t.x.to(at::kFloat), t.weight.to(at::kFloat), t.bias.to(at::kFloat), 1, 1));
    ASSERT_TRUE(expected.isnan().any().item<bool>());
    EXPECT_TRUE(convolved(t, kCase, "small", {}, true).isnan().equal(expected.isnan()));
  }
}

TEST(FixedOrderConvolution, RejectsUnsupportedInputs) {
  int started = 0;
  const gpu::FixedOrderConvolution by(testing::host_launcher(started)), none({});
  const auto can = [&](const gpu::FixedOrderConvolution& one, std::int64_t filters, at::ScalarType type,
                       std::int64_t side = 3) {
    const at::Tensor x = at::zeros({1, 6, 9, 9}).to(type),
                     weight = at::zeros({filters, 6, side, side}).to(type),
                     bias = at::zeros({filters}).to(type);
    if (one.can_take(x, weight, bias)) {
      EXPECT_FALSE(one.can_take(x, weight, bias.narrow(0, 0, filters - 1)));
      EXPECT_FALSE(one.can_take(x, weight, bias.to(at::kDouble)));
      EXPECT_FALSE(one.can_take(x.narrow(1, 0, 5), weight, bias)) << "another number of channels";
      return true;
    }
    EXPECT_THROW(one.convolve(x, weight, bias, 0, 0, false), c10::Error);
    return false;
  };
  EXPECT_TRUE(can(by, 5, at::kFloat));
  EXPECT_TRUE(can(by, 8, at::kBFloat16));
  EXPECT_FALSE(can(none, 8, at::kBFloat16));
  EXPECT_FALSE(can(by, 5, at::kBFloat16)) << "the number of filters is not a multiple of 8";
  EXPECT_TRUE(can(by, 8, at::kHalf));
  EXPECT_FALSE(can(by, 12, at::kHalf));
  EXPECT_FALSE(can(by, 8, at::kDouble));
  EXPECT_FALSE(can(by, 8, at::kFloat, 6));
}

}  // namespace
}  // namespace tessera
