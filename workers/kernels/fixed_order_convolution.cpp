#include "workers/kernels/fixed_order_convolution.h"

#include <ATen/Functions.h>
#include <c10/core/DeviceGuard.h>
#include <c10/util/Exception.h>

#include <limits>
#include <set>
#include <utility>

#include "io/geometry/box.h"
#include "workers/kernels/gpu_operators.h"

namespace tessera::gpu {
namespace {

/// As in pieces.cu.
struct Convolution {
  int pixels;
  int height, width, pieces;
  int out_height, out_width, filters;
  int side, before;
  int rectify;
};

constexpr std::int64_t kProcessors = 132;  // of a large GPU

/// A kernel, and the part of the product that a block of it makes.
struct Kernel {
  const char* bfloat16 = nullptr;
  const char* float16 = nullptr;
  const char* float32 = nullptr;
  std::int64_t pixels = 0, filters = 0;
  std::int64_t shared_pieces = 0;  ///< of 16 bytes
  bool squares = false;            ///< of the pixels; else they follow each other
  int at_once = 1;                 ///< blocks of a processor
  double speed = 1;                ///< with all processors at work, beside others of the same layer

  const char* name(at::ScalarType type) const {
    return type == at::kBFloat16 ? bfloat16 : type == at::kHalf ? float16 : float32;
  }
};
#define TESSERA_NAMES(kernel)                                                                     \
  .bfloat16 = "tessera_convolve_bfloat16_" kernel, .float16 = "tessera_convolve_float16_" kernel, \
  .float32 = "tessera_convolve_float32_" kernel
constexpr Kernel kLarge = {TESSERA_NAMES("large"), .pixels = 128, .filters = 128},
                 kNarrow = {TESSERA_NAMES("narrow"), .pixels = 256, .filters = 64},
                 kSmall = {TESSERA_NAMES("small"), .pixels = 64, .filters = 64};
#undef TESSERA_NAMES

// hopper_kernels.cu: steps of eight pieces a line; patches of eight planes.
#define TESSERA_NAMES(kernel) \
  .bfloat16 = "tessera_hopper_bfloat16_" kernel, .float16 = "tessera_hopper_float16_" kernel
constexpr std::int64_t lines_of_pieces(std::int64_t filters, std::int64_t stages) {
  return (128 + filters) * 8 * stages;
}
constexpr std::int64_t patches_of_pieces(std::int64_t filters, std::int64_t stages, std::int64_t patches) {
  constexpr std::int64_t kPlane = 18 * 18 + 5;
  return filters * 8 * stages + patches * 8 * kPlane;
}
// Speeds are those with which the choice by time_of() comes within 3 % of the fastest for each layer of 64 to
// 1024 filters and inputs of 572, 1020 and 2044, as measured on an H100 (docs/performance.md).
constexpr Kernel kLines64 = {TESSERA_NAMES("lines_64"),
                             .pixels = 128,
                             .filters = 64,
                             .shared_pieces = lines_of_pieces(64, 4),
                             .at_once = 2,
                             .speed = 240},
                 kLines128 = {TESSERA_NAMES("lines_128"), .pixels = 128, .filters = 128,
                              .shared_pieces = lines_of_pieces(128, 3), .at_once = 2},
                 kLines128Deep = {TESSERA_NAMES("lines_128_deep"), .pixels = 128, .filters = 128,
                                  .shared_pieces = lines_of_pieces(128, 4), .speed = 440},
                 kPatches64 = {TESSERA_NAMES("patches_64"),
                               .pixels = 256,
                               .filters = 64,
                               .shared_pieces = patches_of_pieces(64, 4, 1),
                               .squares = true,
                               .at_once = 2,
                               .speed = 390},
                 kPatches64Deep = {TESSERA_NAMES("patches_64_deep"),
                                   .pixels = 256,
                                   .filters = 64,
                                   .shared_pieces = patches_of_pieces(64, 3, 2),
                                   .squares = true,
                                   .at_once = 2,
                                   .speed = 390},
                 kPatches128 = {TESSERA_NAMES("patches_128"),
                                .pixels = 256,
                                .filters = 128,
                                .shared_pieces = patches_of_pieces(128, 4, 2),
                                .squares = true,
                                .speed = 570};
#undef TESSERA_NAMES
constexpr std::int64_t kGroup = 64;  // channels

/// Images and weights of a layer.
struct Layer {
  at::ScalarType type;
  std::int64_t channels, filters, side;
};
struct Image {
  std::int64_t samples, height, width;
};

std::int64_t parts(std::int64_t of, std::int64_t size) {
  return (of + size - 1) / size;
}

/// Blocks along the pixels.
std::int64_t blocks_of(const Kernel& kernel, const Image& out) {
  constexpr std::int64_t kSide = 16;
  if (kernel.squares) return out.samples * parts(out.height, kSide) * parts(out.width, kSide);
  return parts(out.samples * out.height * out.width, kernel.pixels);
}
std::int64_t all_blocks_of(const Kernel& kernel, const Image& out, std::int64_t filters) {
  return blocks_of(kernel, out) * parts(filters, kernel.filters);
}

/// In no unit: processors work as long as the one that makes the most blocks, full ones or not.
double time_of(const Kernel& kernel, const Image& out, std::int64_t filters) {
  const std::int64_t blocks = all_blocks_of(kernel, out, filters),
                     at_once = blocks <= kProcessors ? kProcessors : kernel.at_once * kProcessors;
  return static_cast<double>(parts(blocks, at_once) * at_once * kernel.pixels * kernel.filters) /
         kernel.speed;
}

const Kernel& hopper_kernel_for(const Layer& layer, const Image& out) {
  const bool wide = layer.filters > kLines64.filters;
  if (layer.side != 3) {  // short sums: two blocks at once hide the beginnings and ends of each other
    return wide && all_blocks_of(kLines128, out, layer.filters) > kProcessors ? kLines128 : kLines64;
  }
  const Kernel& narrow_patches = layer.channels == kGroup ? kPatches64 : kPatches64Deep;
  const auto faster = [&](const Kernel& one, const Kernel& other) -> const Kernel& {
    return time_of(other, out, layer.filters) < time_of(one, out, layer.filters) ? other : one;
  };
  if (!wide) return faster(narrow_patches, kLines64);
  return faster(faster(kPatches128, kLines128Deep), kLines64);
}

/// Large parts read less; small ones give all of a GPU's processors work. Which of them it is does not show
/// in the sums.
const Kernel& kernel_for(const Layer& layer, const Image& out, bool hopper) {
  if (hopper && layer.type != at::kFloat && layer.channels % kGroup == 0)
    return hopper_kernel_for(layer, out);
  const Kernel& kernel = layer.filters > kNarrow.filters ? kLarge : kNarrow;
  return all_blocks_of(kernel, out, layer.filters) < kProcessors ? kSmall : kernel;
}

std::int64_t values_of_a_piece(at::ScalarType type) {
  return type == at::kFloat ? 4 : 8;
}

/// Channels up to whole pieces, with zeros; dense in channels_last, at a place that pieces start at.
at::Tensor in_pieces(const at::Tensor& image) {
  const std::int64_t channels = image.size(1),
                     whole = round_up(channels, values_of_a_piece(image.scalar_type()));
  const bool at_a_piece = reinterpret_cast<std::uintptr_t>(image.data_ptr()) % 16 == 0;
  if (channels == whole && at_a_piece && image.is_contiguous(at::MemoryFormat::ChannelsLast)) return image;
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
  constexpr std::int64_t kMost = 1024;  // more than any kernel waits for
  const Layer layer = {weight.scalar_type(), weight.size(1), weight.size(0), weight.size(2)};
  std::vector<std::int64_t> sides;
  std::set<const Kernel*> kernels;
  for (std::int64_t side = kSmallestSide; side <= kMost; ++side) {
    const Image image = {1, side - lost, side - lost};
    if (kernels.insert(&kernel_for(layer, image, hopper_)).second) sides.push_back(side);
  }
  return sides;
}

bool FixedOrderConvolution::can_take(const at::Tensor& x, const at::Tensor& weight,
                                     const at::Tensor& bias) const {
  constexpr std::int64_t kMostTaps = 5;  // 25 bits of 32
  const auto type = x.scalar_type();
  const bool halves = type == at::kBFloat16 || type == at::kHalf;
  const bool known = type == at::kFloat || (halves && weight.size(0) % values_of_a_piece(type) == 0);
  const bool match = weight.scalar_type() == type && bias.scalar_type() == type &&
                     weight.size(1) == x.size(1) && bias.numel() == weight.size(0);
  return launch_ && known && match && weight.size(2) == weight.size(3) && weight.size(2) <= kMostTaps;
}

at::Tensor FixedOrderConvolution::convolve(const at::Tensor& x, const at::Tensor& weight,
                                           const at::Tensor& bias, std::int64_t before, std::int64_t after,
                                           bool rectify) const {
  TORCH_CHECK(can_take(x, weight, bias), "no ordered convolution of ", x.sizes(), " and ", weight.sizes(),
              " in ", x.scalar_type());
  const std::int64_t side = weight.size(2), filters = weight.size(0), less = side - 1 - before - after;
  const at::Tensor image = in_pieces(x), taps = in_pieces(weight), biases = bias.contiguous();
  at::Tensor out = empty_image(image, filters, image.size(2) - less, image.size(3) - less);
  const std::int64_t pixels = out.size(0) * out.size(2) * out.size(3);
  TORCH_CHECK(pixels <= std::numeric_limits<int>::max() - kNarrow.pixels, "too many pixels: ", out.sizes());
  const Layer layer = {x.scalar_type(), weight.size(1), filters, side};
  const Image result = {out.size(0), out.size(2), out.size(3)};
  const Kernel& kernel = kernel_for(layer, result, hopper_);
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
               {.name = kernel.name(x.scalar_type()),
                .blocks_x = blocks_of(kernel, result),
                .blocks_y = parts(filters, kernel.filters),
                .shared_bytes = kernel.shared_pieces * 16},
               image.data_ptr(), taps.data_ptr(), biases.data_ptr(), out.data_ptr(), convolution);
  return out;
}

}  // namespace tessera::gpu
