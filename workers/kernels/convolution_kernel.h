#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace tessera::gpu {

constexpr std::int64_t kVectorBytes = 16;       ///< that a thread reads or writes at once
constexpr std::int64_t kMultiprocessors = 132;  ///< of a large GPU

/// What a convolution multiplies: images of `channels` by `filters` of side x side taps.
struct ConvolutionLayer {
  c10::ScalarType type;
  std::int64_t channels, filters, side;
};

/// Images of a layer's output.
struct ImageSize {
  std::int64_t samples, height, width;
};

constexpr std::int64_t parts_of(std::int64_t whole, std::int64_t part) {
  return (whole + part - 1) / part;
}

/// A kernel of a convolution, and what one of its thread blocks computes.
struct ConvolutionKernel {
  const char* bfloat16 = nullptr;  ///< its name for images of this type
  const char* float16 = nullptr;
  const char* float32 = nullptr;
  std::int64_t pixels = 0, filters = 0;
  std::int64_t shared_vectors = 0;  ///< 16-byte vectors of dynamic shared memory
  bool squares = false;             ///< the pixels are squares of 16 x 16; else they follow each other
  int at_once = 1;                  ///< thread blocks that a multiprocessor runs at once
  double speed = 1;                 ///< with all multiprocessors busy, relative to other kernels

  const char* name(c10::ScalarType type) const {
    return type == c10::kBFloat16 ? bfloat16 : type == c10::kHalf ? float16 : float32;
  }
  /// Thread blocks along the pixels of an output.
  std::int64_t blocks_of_pixels(const ImageSize& out) const {
    constexpr std::int64_t kSide = 16;
    if (squares) return out.samples * parts_of(out.height, kSide) * parts_of(out.width, kSide);
    return parts_of(out.samples * out.height * out.width, pixels);
  }
  /// All thread blocks, for a layer of so many filters.
  std::int64_t blocks(const ImageSize& out, std::int64_t layer_filters) const {
    return blocks_of_pixels(out) * parts_of(layer_filters, filters);
  }
};

}  // namespace tessera::gpu
