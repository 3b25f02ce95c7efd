#include "workers/network/ordered_convolution.h"

#include <ATen/Functions.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <limits>
#include <utility>

#include "io/box.h"
#include "workers/network/gpu_operators.h"

namespace tessera::gpu {
namespace {

/// As in convolution_kernels.cu.
struct Convolution {
  int pixels;
  int height, width, pieces;
  int out_height, out_width, filters;
  int side, before;
  int rectify;
};

/// A kernel's part of the product.
struct Part {
  const char* bfloat16;
  const char* float16;
  const char* float32;
  std::int64_t pixels, filters;

  const char* kernel(at::ScalarType type) const { return type == at::kBFloat16 ? bfloat16 : type == at::kHalf ? float16 : float32; }
};
constexpr Part kLarge = {"tessera_convolve_bfloat16_large", "tessera_convolve_float16_large", "tessera_convolve_float32_large", 128, 128},
               kNarrow = {"tessera_convolve_bfloat16_narrow", "tessera_convolve_float16_narrow", "tessera_convolve_float32_narrow", 256, 64},
               kSmall = {"tessera_convolve_bfloat16_small", "tessera_convolve_float16_small", "tessera_convolve_float32_small", 64, 64};

std::int64_t parts(std::int64_t of, std::int64_t size) {
  return (of + size - 1) / size;
}

/// Large parts read less; small ones give all of a GPU's processors work. Which of them it is does not show in the sums.
const Part& part_for(std::int64_t pixels, std::int64_t filters) {
  constexpr std::int64_t kProcessors = 132;
  const Part& part = filters > kNarrow.filters ? kLarge : kNarrow;
  return parts(pixels, part.pixels) * parts(filters, part.filters) < kProcessors ? kSmall : part;
}

std::int64_t values_of_a_piece(at::ScalarType type) {
  return type == at::kFloat ? 4 : 8;
}

/// Channels up to whole pieces, with zeros; dense in channels_last, at a place that pieces start at.
at::Tensor in_pieces(const at::Tensor& image) {
  const std::int64_t channels = image.size(1), whole = round_up(channels, values_of_a_piece(image.scalar_type()));
  const bool at_a_piece = reinterpret_cast<std::uintptr_t>(image.data_ptr()) % 16 == 0;
  if (channels == whole && at_a_piece && image.is_contiguous(at::MemoryFormat::ChannelsLast)) return image;
  at::Tensor wide = empty_image(image, whole, image.size(2), image.size(3));
  wide.narrow(1, 0, channels).copy_(image);
  wide.narrow(1, channels, whole - channels).zero_();
  return wide;
}

}  // namespace

OrderedConvolution::OrderedConvolution(KernelLauncher launch) : launch_(std::move(launch)) {}

std::int64_t side_of_large_parts(std::int64_t filters) {
  std::int64_t side = 1;
  while (&part_for(side * side, filters) == &kSmall) ++side;
  return side + 2;  // of the image: 3x3 taps
}

bool OrderedConvolution::can_take(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
  constexpr std::int64_t kMostTaps = 5;  // 25 bits of 32
  const auto type = x.scalar_type();
  const bool halves = type == at::kBFloat16 || type == at::kHalf;
  const bool known = type == at::kFloat || (halves && weight.size(0) % values_of_a_piece(type) == 0);
  const bool match = weight.scalar_type() == type && bias.scalar_type() == type && weight.size(1) == x.size(1) &&
                     bias.numel() == weight.size(0);
  return launch_ && known && match && weight.size(2) == weight.size(3) && weight.size(2) <= kMostTaps;
}

at::Tensor OrderedConvolution::convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, std::int64_t before,
                                        std::int64_t after, bool rectify) const {
  TORCH_CHECK(can_take(x, weight, bias), "no ordered convolution of ", x.sizes(), " and ", weight.sizes(), " in ", x.scalar_type());
  const std::int64_t side = weight.size(2), filters = weight.size(0), less = side - 1 - before - after;
  const at::Tensor image = in_pieces(x), taps = in_pieces(weight), biases = bias.contiguous();
  at::Tensor out = empty_image(image, filters, image.size(2) - less, image.size(3) - less);
  const std::int64_t pixels = out.size(0) * out.size(2) * out.size(3);
  TORCH_CHECK(pixels <= std::numeric_limits<int>::max() - kNarrow.pixels, "too many pixels: ", out.sizes());
  const Part& part = part_for(pixels, filters);
  const auto value = [](std::int64_t size) { return static_cast<int>(size); };
  const Convolution convolution = {.pixels = value(pixels),
                                   .height = value(image.size(2)),
                                   .width = value(image.size(3)),
                                   .pieces = value(image.size(1) / values_of_a_piece(image.scalar_type())),
                                   .out_height = value(out.size(2)),
                                   .out_width = value(out.size(3)),
                                   .filters = value(filters),
                                   .side = value(side),
                                   .before = value(before),
                                   .rectify = rectify ? 1 : 0};
  const c10::DeviceGuard guard(x.device());
  start_kernel(launch_,
               {.name = part.kernel(x.scalar_type()),
                .blocks_x = parts(pixels, part.pixels),
                .blocks_y = parts(filters, part.filters)},
               image.data_ptr(), taps.data_ptr(), biases.data_ptr(), out.data_ptr(), convolution);
  return out;
}

}  // namespace tessera::gpu
