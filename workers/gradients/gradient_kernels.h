#pragma once

#include <cstddef>
#include <cstdint>

#include "workers/device/precision.h"

namespace tessera {

/// Images are (y, x, channels), row-major, float32 or bfloat16.
struct ImageShape {
  std::int64_t height = 0, width = 0, channels = 0;
};

/// The gradient of a ReLU and of the dropout that follows it, in place. Where `image`, their output, is above
/// 0 the gradient is multiplied by `scale` (1, or dropout's 1 / (1 - rate)); elsewhere it becomes 0. A
/// dropped pixel is 0, too.
void rectify_gradient(Precision precision, const std::byte* image, std::byte* gradient,
                      const ImageShape& shape, float scale);

/// The gradient of an image that was pooled (2x2 maximum) and whose middle was copied, and of its ReLU and
/// dropout as above. The pooled gradient is added to the first of the four pixels that is the maximum.
struct JoinedGradient {
  const std::byte* image = nullptr;            ///< of `shape`, even height and width
  const std::byte* pooled = nullptr;           ///< half the height and width
  const std::byte* pooled_gradient = nullptr;  ///< likewise
  const std::byte* crop_gradient = nullptr;    ///< the first channels of pixels of `crop_channels`
  std::int64_t crop_height = 0, crop_width = 0, crop_channels = 0;
  std::byte* gradient = nullptr;  ///< of `shape`, written
  ImageShape shape;
  float scale = 1;
};
void join_gradients(Precision precision, const JoinedGradient& joined);

/// Rotates the kernels of a convolution by 180 degrees and exchanges its input and output channels: (out, in,
/// k, k) to (in, out, k, k). A convolution with the result is the gradient of the original one by its input.
void rotate_kernels(const float* weights, std::int64_t out, std::int64_t in, std::int64_t side,
                    float* rotated);

}  // namespace tessera
