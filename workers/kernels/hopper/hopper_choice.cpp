#include "workers/kernels/hopper/hopper_choice.h"

namespace tessera::gpu {
namespace {

constexpr std::int64_t kGroup = 64;  // channels of a step

// Dynamic shared memory, as in hopper_kernels.cu: steps of 8 vectors a line; patches of 8 planes.
constexpr std::int64_t vectors_of_lines(std::int64_t filters, std::int64_t stages) {
  return (128 + filters) * 8 * stages;
}
constexpr std::int64_t vectors_of_patches(std::int64_t filters, std::int64_t stages, std::int64_t patches) {
  constexpr std::int64_t kPlane = 18 * 18 + 5;
  return filters * 8 * stages + patches * 8 * kPlane;
}

#define TESSERA_NAMES(kernel) \
  .bfloat16 = "tessera_hopper_bfloat16_" kernel, .float16 = "tessera_hopper_float16_" kernel
// With these speeds the choice by time_of() comes within 3 % of the fastest kernel for each layer of 64 to
// 1024 filters and inputs of 572, 1020 and 2044, as measured on an H100 (docs/performance.md).
constexpr ConvolutionKernel kLines64 = {TESSERA_NAMES("lines_64"),
                                        .pixels = 128,
                                        .filters = 64,
                                        .shared_vectors = vectors_of_lines(64, 4),
                                        .at_once = 2,
                                        .speed = 240};
constexpr ConvolutionKernel kLines128 = {TESSERA_NAMES("lines_128"), .pixels = 128, .filters = 128,
                                         .shared_vectors = vectors_of_lines(128, 3), .at_once = 2};
constexpr ConvolutionKernel kLines128Deep = {TESSERA_NAMES("lines_128_deep"), .pixels = 128, .filters = 128,
                                             .shared_vectors = vectors_of_lines(128, 4), .speed = 440};
constexpr ConvolutionKernel kPatches64 = {TESSERA_NAMES("patches_64"),
                                          .pixels = 256,
                                          .filters = 64,
                                          .shared_vectors = vectors_of_patches(64, 4, 1),
                                          .squares = true,
                                          .at_once = 2,
                                          .speed = 390};
constexpr ConvolutionKernel kPatches64Deep = {TESSERA_NAMES("patches_64_deep"),
                                              .pixels = 256,
                                              .filters = 64,
                                              .shared_vectors = vectors_of_patches(64, 3, 2),
                                              .squares = true,
                                              .at_once = 2,
                                              .speed = 390};
constexpr ConvolutionKernel kPatches128 = {TESSERA_NAMES("patches_128"),
                                           .pixels = 256,
                                           .filters = 128,
                                           .shared_vectors = vectors_of_patches(128, 4, 2),
                                           .squares = true,
                                           .speed = 570};
#undef TESSERA_NAMES

/// An estimate without unit. The multiprocessor with the most thread blocks decides; partly filled blocks
/// take as long as full ones.
double time_of(const ConvolutionKernel& kernel, const ImageSize& out, std::int64_t filters) {
  const std::int64_t blocks = kernel.blocks(out, filters);
  const std::int64_t at_once =
      blocks <= kMultiprocessors ? kMultiprocessors : kernel.at_once * kMultiprocessors;
  return static_cast<double>(parts_of(blocks, at_once) * at_once * kernel.pixels * kernel.filters) /
         kernel.speed;
}

}  // namespace

bool can_use_hopper_kernels(const ConvolutionLayer& layer) {
  return layer.type != c10::kFloat && layer.channels % kGroup == 0;
}

const ConvolutionKernel& hopper_kernel_for(const ConvolutionLayer& layer, const ImageSize& out) {
  const bool wide = layer.filters > kLines64.filters;
  if (layer.side != 3) {  // short sums: two thread blocks at once hide each other's start and end
    return wide && kLines128.blocks(out, layer.filters) > kMultiprocessors ? kLines128 : kLines64;
  }
  const ConvolutionKernel& narrow_patches = layer.channels == kGroup ? kPatches64 : kPatches64Deep;
  const auto faster = [&](const ConvolutionKernel& one,
                          const ConvolutionKernel& other) -> const ConvolutionKernel& {
    return time_of(other, out, layer.filters) < time_of(one, out, layer.filters) ? other : one;
  };
  if (!wide) return faster(narrow_patches, kLines64);
  return faster(faster(kPatches128, kLines128Deep), kLines64);
}

}  // namespace tessera::gpu
