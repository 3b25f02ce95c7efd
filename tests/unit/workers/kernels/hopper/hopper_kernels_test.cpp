// Compares the Hopper kernels, compiled for the CPU, with LibTorch's convolution in float64.
#include <ATen/Functions.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tests/unit/workers/device/host_launcher.h"
#include "tests/unit/workers/kernels/convolution_cases.h"
#include "workers/kernels/fixed_order_convolution.h"
#include "workers/kernels/gpu_operators.h"

namespace tessera {
namespace {

using testing::Case;
using testing::convolved_by;
using testing::in_double;
using testing::Tensors;
using testing::tensors_of;
using testing::text;

// Channels are multiples of 64. The cases cover partial squares, several squares, and padding.
constexpr std::array<Case, 7> kHopperCases = {{{1, 64, 136, 4, 3, 3, 0, 0},
                                               {1, 64, 64, 18, 17, 3, 0, 0},
                                               {2, 128, 72, 16, 18, 3, 1, 1},
                                               {1, 192, 8, 5, 4, 3, 0, 0},
                                               {3, 64, 200, 5, 9, 1, 0, 0},
                                               {1, 128, 64, 6, 5, 2, 1, 0},
                                               {1, 64, 8, 7, 7, 5, 2, 2}}};
struct HopperKernel {
  const char* name;
  int pixels, filters;  ///< per block; kernels of 256 pixels compute squares with 3x3 taps
  std::int64_t shared_bytes;
};
constexpr std::array<HopperKernel, 6> kHopperKernels = {{{"lines_64", 128, 64, 98304},
                                                         {"lines_128", 128, 128, 98304},
                                                         {"lines_128_deep", 128, 128, 131072},
                                                         {"patches_64", 256, 64, 74880},
                                                         {"patches_64_deep", 256, 64, 108800},
                                                         {"patches_128", 256, 128, 149760}}};
// Late copies with early products; late products with early copies, which overwrite what the products read.
const std::vector<testing::HostThreads> kHopperOrders = {
    {}, {.late_copies = true}, {.backwards = true, .late_products = true}};

/// The launch of the kernel for a convolution, under the name `name`.
KernelStart start_of(const HopperKernel& kernel, const std::string& name, std::span<void*> arguments) {
  const auto* const c = static_cast<const int*>(arguments[4]);
  const int pixels = c[0], height = c[4], width = c[5], filters = c[6];
  const auto parts = [](int of, int size) { return (of + size - 1) / size; };
  const int blocks = kernel.pixels == 256 ? pixels / (height * width) * parts(height, 16) * parts(width, 16)
                                          : parts(pixels, kernel.pixels);
  return {.name = name.c_str(),
          .blocks_x = blocks,
          .blocks_y = parts(filters, kernel.filters),
          .shared_bytes = kernel.shared_bytes};
}

/// Launches one kernel for every size.
KernelLauncher by_hopper_kernel(const HopperKernel& kernel, testing::HostThreads order, int& started) {
  return [launch = testing::host_launcher(started, order), kernel](const KernelStart& start,
                                                                   std::span<void*> arguments) {
    const std::string name = start.name,
                      type = name.find("_float16_") == std::string::npos ? "bfloat16_" : "float16_";
    EXPECT_TRUE(name.starts_with("tessera_hopper_" + type)) << name;
    const std::string forced = "tessera_hopper_" + type + kernel.name;
    launch(start_of(kernel, forced, arguments), arguments);
  };
}

at::Tensor convolved_on_hopper(const Tensors& t, const Case& c, const HopperKernel& kernel,
                               testing::HostThreads order, bool rectify) {
  int started = 0;
  at::Tensor found =
      convolved_by(gpu::FixedOrderConvolution(by_hopper_kernel(kernel, order, started), true), t, c, rectify);
  EXPECT_EQ(started, 1);
  return found;
}

bool can_take(const HopperKernel& kernel, const Case& c) {
  const std::string name = kernel.name;
  return kernel.pixels == 128 || (c.side == 3 && (name != "patches_64" || c.channels == 64));
}

/// Checks 16-bit types, and that all kernels give equal results.
void sums_on_hopper(at::ScalarType type, double last_place, std::span<const testing::HostThreads> orders) {
  int compared = 0;
  bool rectify = false;
  for (const Case& c : kHopperCases) {
    const Tensors t = tensors_of(c, type);
    const at::Tensor expected = in_double(t, c, rectify);
    at::Tensor first;
    for (const HopperKernel& kernel : kHopperKernels) {
      if (!can_take(kernel, c)) continue;
      for (const auto& order : orders) {
        const at::Tensor found = convolved_on_hopper(t, c, kernel, order, rectify);
        if (!first.defined()) first = found;
        EXPECT_TRUE(found.equal(first)) << text(c) << ", " << kernel.name << ", " << (&order - orders.data());
        ++compared;
      }
    }
    ASSERT_EQ(first.scalar_type(), type);
    EXPECT_TRUE(first.to(at::kDouble).allclose(expected, last_place / 2, 2e-4)) << text(c);
    rectify = !rectify;
  }
  EXPECT_EQ(compared, (7 * 3 + 4 * 2 + 2) * static_cast<int>(orders.size()));
}

TEST(HopperKernels, SumBfloat16InFloat32) {
  sums_on_hopper(at::kBFloat16, 1.0 / 128, kHopperOrders);
}

TEST(HopperKernels, SumFloat16InFloat32) {
  sums_on_hopper(at::kHalf, 1.0 / 1024, std::span(kHopperOrders).first(1));
}

TEST(HopperKernels, APartOfAnImageGivesThatPartOfTheOutput) {
  constexpr Case kWhole = {1, 128, 64, 35, 37, 3, 0, 0};
  const Tensors t = tensors_of(kWhole, at::kBFloat16);
  const at::Tensor whole = convolved_on_hopper(t, kWhole, kHopperKernels[4], {}, true);
  int started = 0;
  const gpu::FixedOrderConvolution by(testing::host_launcher(started),
                                      true);  // small images use the `lines` kernels
  for (const auto& [y, x, height, width] :
       std::vector<std::array<std::int64_t, 4>>{{0, 0, 3, 3}, {7, 11, 20, 17}, {1, 2, 34, 35}}) {
    const at::Tensor part = t.x.narrow(2, y, height).narrow(3, x, width);
    EXPECT_TRUE(by.convolve(part, t.weight, t.bias, 0, 0, true)
                    .equal(whole.narrow(2, y, height - 2).narrow(3, x, width - 2)));
  }
  EXPECT_EQ(started, 3);
}

TEST(HopperKernels, AreChosenByTheSizeOfTheLayer) {
  std::vector<std::string> names;
  const auto look = [&](const KernelStart& start, std::span<void*> arguments) {
    names.emplace_back(start.name);
    for (const HopperKernel& kernel : kHopperKernels) {
      if (names.back() != "tessera_hopper_bfloat16_" + std::string(kernel.name)) continue;
      const KernelStart expected = start_of(kernel, names.back(), arguments);
      EXPECT_EQ(start.blocks_x, expected.blocks_x) << start.name;
      EXPECT_EQ(start.blocks_y, expected.blocks_y) << start.name;
      EXPECT_EQ(start.shared_bytes, expected.shared_bytes) << start.name;
    }
  };
  const gpu::FixedOrderConvolution by(look, true);
  std::int64_t samples = 1;
  const auto kernel_of = [&](std::int64_t channels, std::int64_t filters, std::int64_t side,
                             std::int64_t taps = 3, at::ScalarType type = at::kBFloat16) {
    names.clear();
    by.convolve(gpu::channels_last(at::zeros({samples, channels, side, side}), type),
                gpu::channels_last(at::zeros({filters, channels, taps, taps}), type),
                at::zeros({filters}).to(type), 0, 0, true);
    return names.at(0).substr(std::string("tessera_").size());
  };
  EXPECT_EQ(kernel_of(64, 64, 570), "hopper_bfloat16_patches_64");
  EXPECT_EQ(kernel_of(128, 64, 392), "hopper_bfloat16_patches_64_deep");
  EXPECT_EQ(kernel_of(64, 128, 508), "hopper_bfloat16_patches_128");
  EXPECT_EQ(kernel_of(64, 128, 200), "hopper_bfloat16_lines_128_deep")
      << "with 169 squares, most multiprocessors would be idle half of the time";
  EXPECT_EQ(kernel_of(64, 512, 56), "hopper_bfloat16_lines_128_deep");
  EXPECT_EQ(kernel_of(64, 512, 30), "hopper_bfloat16_lines_64");
  EXPECT_EQ(kernel_of(64, 64, 570, 1), "hopper_bfloat16_lines_64") << "patches are for 3x3 taps";
  EXPECT_EQ(kernel_of(128, 256, 120, 1), "hopper_bfloat16_lines_128");
  EXPECT_EQ(kernel_of(64, 64, 30, 3, at::kHalf), "hopper_float16_lines_64");
  EXPECT_EQ(kernel_of(72, 64, 300), "convolve_bfloat16_narrow") << "not a multiple of 64";
  EXPECT_EQ(kernel_of(64, 64, 300, 3, at::kFloat), "convolve_float32_narrow");
  samples = 2;
  EXPECT_EQ(kernel_of(64, 128, 282), "hopper_bfloat16_patches_128");
  EXPECT_EQ(kernel_of(64, 512, 40), "hopper_bfloat16_lines_128_deep");
  samples = 1;
  // Images of these sides use all kernels that exist for a layer.
  for (const auto& [channels, filters, kernels] : std::vector<std::array<std::int64_t, 3>>{
           {64, 64, 2}, {128, 64, 2}, {64, 128, 3}, {64, 1024, 3}, {8, 128, 2}}) {
    std::set<std::string> seen;
    for (const std::int64_t side :
         by.sides_of_kernels(gpu::channels_last(at::zeros({filters, channels, 3, 3}), at::kBFloat16), 2))
      seen.insert(kernel_of(channels, filters, side));
    EXPECT_EQ(static_cast<std::int64_t>(seen.size()), kernels) << channels << " to " << filters;
  }
}

TEST(HopperKernels, KeepNonFiniteValues) {
  constexpr Case kWide = {1, 64, 8, 9, 9, 3, 1, 1};
  const Tensors t = tensors_of(kWide, at::kBFloat16);
  t.x.select(2, 4).select(2, 5).fill_(std::numeric_limits<float>::quiet_NaN());
  const at::Tensor expected =
      at::conv2d(t.x.to(at::kFloat), t.weight.to(at::kFloat), t.bias.to(at::kFloat), 1, 1);
  for (const HopperKernel& kernel : kHopperKernels)
    EXPECT_TRUE(convolved_on_hopper(t, kWide, kernel, {}, true).isnan().equal(expected.isnan()))
        << kernel.name;
}

}  // namespace
}  // namespace tessera
