#include "workers/kernels/fixed_order_convolution.h"

#include <ATen/Functions.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <limits>
#include <set>
#include <utility>

#include "io/geometry/box.h"
#include "workers/kernels/convolution_kernel.h"
#include "workers/kernels/gpu_operators.h"
#ifdef TESSERA_HOPPER_KERNELS
#include "workers/kernels/hopper/hopper_choice.h"
#endif

namespace tessera::gpu {
namespace {

/// As in vectors.cu.
struct Convolution {
  int pixels;
  int height, width, vectors;
  int out_height, out_width, filters;
  int side, before;
  int rectify;
};

#define TESSERA_NAMES(kernel)                                                                     \
  .bfloat16 = "tessera_convolve_bfloat16_" kernel, .float16 = "tessera_convolve_float16_" kernel, \
  .float32 = "tessera_convolve_float32_" kernel
constexpr ConvolutionKernel kLarge = {TESSERA_NAMES("large"), .pixels = 128, .filters = 128},
                            kNarrow = {TESSERA_NAMES("narrow"), .pixels = 256, .filters = 64},
                            kSmall = {TESSERA_NAMES("small"), .pixels = 64, .filters = 64};
#undef TESSERA_NAMES

/// Large blocks read less; small ones keep all multiprocessors busy. The choice does not change the result.
const ConvolutionKernel& kernel_for(const ConvolutionLayer& layer, const ImageSize& out,
                                    [[maybe_unused]] bool hopper) {
#ifdef TESSERA_HOPPER_KERNELS
  if (hopper && can_use_hopper_kernels(layer)) return hopper_kernel_for(layer, out);
#endif
  const ConvolutionKernel& kernel = layer.filters > kNarrow.filters ? kLarge : kNarrow;
  return kernel.blocks(out, layer.filters) < kMultiprocessors ? kSmall : kernel;
}

std::int64_t values_of_a_vector(at::ScalarType type) {
  return type == at::kFloat ? 4 : 8;
}

/// Channels padded with zeros to whole 16-byte vectors; dense in channels_last, aligned to 16 bytes.
at::Tensor in_vectors(const at::Tensor& image) {
  const std::int64_t channels = image.size(1),
                     whole = round_up(channels, values_of_a_vector(image.scalar_type()));
  const bool aligned = reinterpret_cast<std::uintptr_t>(image.data_ptr()) % kVectorBytes == 0;
  if (channels == whole && aligned && image.is_contiguous(at::MemoryFormat::ChannelsLast)) return image;
  at::Tensor wide = empty_image(image, whole, image.size(2), image.size(3));
  wide.narrow(1, 0, channels).copy_(image);
  wide.narrow(1, channels, whole - channels).zero_();
  return wide;
}

}  // namespace

FixedOrderConvolution::FixedOrderConvolution(KernelLauncher launch, bool hopper)
    : launch_(std::move(launch)), hopper_(hopper) {}

std::vector<std::int64_t> FixedOrderConvolution::sides_of_kernels(const at::Tensor& weight,
                                                                  std::int64_t lost) const {
  constexpr std::int64_t kMost = 1024;  // above this side the choice does not change
  const ConvolutionLayer layer = {weight.scalar_type(), weight.size(1), weight.size(0), weight.size(2)};
  std::vector<std::int64_t> sides;
  std::set<const ConvolutionKernel*> kernels;
  for (std::int64_t side = kSmallestSide; side <= kMost; ++side) {
    const ImageSize image = {1, side - lost, side - lost};
    if (kernels.insert(&kernel_for(layer, image, hopper_)).second) sides.push_back(side);
  }
  return sides;
}

bool FixedOrderConvolution::can_take(const at::Tensor& x, const at::Tensor& weight,
                                     const at::Tensor& bias) const {
  constexpr std::int64_t kMostTaps = 5;  // 25 bits of 32
  const auto type = x.scalar_type();
  const bool halves = type == at::kBFloat16 || type == at::kHalf;
  const bool known = type == at::kFloat || (halves && weight.size(0) % values_of_a_vector(type) == 0);
  const bool match = weight.scalar_type() == type && bias.scalar_type() == type &&
                     weight.size(1) == x.size(1) && bias.numel() == weight.size(0);
  return launch_ && known && match && weight.size(2) == weight.size(3) && weight.size(2) <= kMostTaps;
}

at::Tensor FixedOrderConvolution::convolve(const at::Tensor& x, const at::Tensor& weight,
                                           const at::Tensor& bias, std::int64_t before, std::int64_t after,
                                           bool rectify) const {
  TORCH_CHECK(can_take(x, weight, bias), "no convolution in a fixed reduction order for ", x.sizes(), " and ",
              weight.sizes(), " in ", x.scalar_type());
  const std::int64_t side = weight.size(2), filters = weight.size(0), less = side - 1 - before - after;
  const at::Tensor image = in_vectors(x), taps = in_vectors(weight), biases = bias.contiguous();
  at::Tensor out = empty_image(image, filters, image.size(2) - less, image.size(3) - less);
  const std::int64_t pixels = out.size(0) * out.size(2) * out.size(3);
  TORCH_CHECK(pixels <= std::numeric_limits<int>::max() - kNarrow.pixels, "too many pixels: ", out.sizes());
  const ConvolutionLayer layer = {x.scalar_type(), weight.size(1), filters, side};
  const ImageSize result = {out.size(0), out.size(2), out.size(3)};
  const ConvolutionKernel& kernel = kernel_for(layer, result, hopper_);
  const auto value = [](std::int64_t size) { return static_cast<int>(size); };
  const Convolution convolution = {.pixels = value(pixels),
                                   .height = value(image.size(2)),
                                   .width = value(image.size(3)),
                                   .vectors = value(image.size(1) / values_of_a_vector(image.scalar_type())),
                                   .out_height = value(out.size(2)),
                                   .out_width = value(out.size(3)),
                                   .filters = value(filters),
                                   .side = value(side),
                                   .before = value(before),
                                   .rectify = rectify ? 1 : 0};
  const c10::DeviceGuard guard(x.device());
  start_kernel(launch_,
               {.name = kernel.name(x.scalar_type()),
                .blocks_x = kernel.blocks_of_pixels(result),
                .blocks_y = parts_of(filters, kernel.filters),
                .shared_bytes = kernel.shared_vectors * kVectorBytes},
               image.data_ptr(), taps.data_ptr(), biases.data_ptr(), out.data_ptr(), convolution);
  return out;
}

}  // namespace tessera::gpu
