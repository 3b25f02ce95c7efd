#pragma once

#include <cstdint>
#include <vector>

#include "workers/network/unet_options.h"

namespace tessera {

/// One operation of a U-Net's forward pass at inference. Buffers are (y, x, channels), row-major.
struct ForwardStep {
  enum class Kind {
    convolution,  ///< 3x3, bias, ReLU
    pooling,      ///< maximum of 2x2
    crop,         ///< the middle of `in` into the first half of `out`'s channels
    spread,       ///< the up-convolution's product: per input pixel, 2x2 output pixels' channels
    shuffle,      ///< `in`, made by `spread`, into the second half of `out`'s channels
    to_classes,   ///< 1x1, bias; writes the logits
  };
  Kind kind = Kind::convolution;
  int layer = 0;        ///< index among the convolutions, or among the up-convolutions for `spread`
  int in = 0, out = 0;  ///< buffers; kInput and kOutput are the caller's
  std::int64_t in_height = 0, in_width = 0, in_channels = 0;
  std::int64_t out_height = 0, out_width = 0, out_channels = 0;
};
constexpr int kInput = -1, kOutput = -2;

/// All steps of a forward pass over one input, and where their buffers lie in one piece of memory: buffers
/// that are alive together do not overlap, all others may. The concatenation is no step: its two halves are
/// written where they belong.
struct ForwardPlan {
  struct Buffer {
    std::int64_t bytes = 0, offset = 0;
    int first_step = 0, last_step = 0;  ///< written first, read last
  };
  std::vector<ForwardStep> steps;
  std::vector<Buffer> buffers;
  std::int64_t bytes = 0;  ///< of the whole piece
};

/// `height` and `width` are legal sides of the network, `value_bytes` 4 (float32) or 2 (bfloat16).
ForwardPlan plan_forward(const UNetOptions& options, std::int64_t height, std::int64_t width,
                         std::int64_t value_bytes);

}  // namespace tessera
