#pragma once

#include <cstddef>
#include <cstdint>

#include "workers/device/precision.h"

namespace tessera {

/// Images are (y, x, channels), row-major, float32 or bfloat16.
struct ImageShape {
  std::int64_t height = 0, width = 0, channels = 0;
};

/// The gradient of a ReLU and of the dropout behind it, in place: where `image` (what they wrote) is above 0
/// the gradient is multiplied by `scale` (1, or dropout's 1 / (1 - rate)), elsewhere it becomes 0. A pixel
/// that was dropped is 0, too.
void rectify_gradient(Precision precision, const std::byte* image, std::byte* gradient,
                      const ImageShape& shape, float scale);

/// The gradient of an image that was pooled (2x2 maximum) and whose middle was copied, and of its ReLU and
/// dropout as above. The pooled gradient goes to the first of the four pixels that is the maximum.
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

/// Turns the kernels of a convolution by half a turn and exchanges its input and output channels: (out, in,
/// k, k) to (in, out, k, k). A convolution with these is the gradient of one with those by its input.
void turn_kernels(const float* weights, std::int64_t out, std::int64_t in, std::int64_t side, float* turned);

}  // namespace tessera
