#pragma once

#include <cstdint>
#include <vector>

#include "workers/network/network_description.h"

namespace tessera {

/// One operation of a 2-D network's forward pass. It computes one layer or several fused layers. Buffers are
/// (y, x, channels), row-major.
struct ForwardStep {
  enum class Kind {
    convolution,  ///< 3x3 convolution, bias, batch normalisation if the network uses it, ReLU
    pooling,      ///< 2x2 max pooling
    crop,         ///< copies the centre of `in` to the first half of `out`'s channels
    spread,       ///< matrix product of the up-convolution: the channels of 2x2 output pixels per input pixel
    shuffle,      ///< moves the output of `spread` to the second half of `out`'s channels
    to_classes,   ///< 1x1 convolution and bias; writes the logits
  };
  Kind kind = Kind::convolution;
  int layer = 0;  ///< index in the description of the convolution or up-convolution whose weights are used
  int in = 0, out = 0;  ///< buffer indices; the caller owns kInput and kOutput
  std::int64_t in_height = 0, in_width = 0, in_channels = 0;
  std::int64_t out_height = 0, out_width = 0, out_channels = 0;
  std::int64_t padding = 0;  ///< zero padding of a convolution, in pixels per side
};
constexpr int kInput = -1, kOutput = -2;

/// A part of the memory block that the steps of a pass share.
struct PlannedBuffer {
  std::int64_t bytes = 0, offset = 0;
  int first_step = 0, last_step = 0;  ///< the first step writes it, the last step reads it
};

/// All steps of a forward pass over one input, and the offsets of their buffers in one memory block. Buffers
/// that are alive at the same time do not overlap. Other buffers may overlap. The concatenation needs no
/// step: `crop` and `shuffle` write its two halves in place.
struct ForwardPlan {
  std::vector<ForwardStep> steps;
  std::vector<PlannedBuffer> buffers;
  std::int64_t bytes = 0;  ///< of the memory block
};

/// Whether `plan_forward` supports all layers of a network. It supports 2-D networks of these layers:
/// - 3x3 convolutions, each followed by ReLU, with optional batch normalisation in between
/// - 2x2 max pooling
/// - 2x2 or 3x3 up-convolutions of stride 2, each followed by a concatenation with as many channels
/// - a 1x1 convolution as the last layer
/// - dropout at any position
bool can_plan_forward(const NetworkDescription& network);
/// Plans a forward pass. Requires `can_plan_forward`. `height` and `width` are legal input sides of the
/// network, in pixels. `value_bytes` is 4 (float32) or 2 (bfloat16).
ForwardPlan plan_forward(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                         std::int64_t value_bytes);

/// One operation of a backward pass: the gradient of one forward step. All shapes are those of the forward
/// step. The operation adds to the gradient of the step's parameters, if any, and writes the gradient of its
/// input.
struct BackwardStep {
  enum class Kind {
    to_classes,   ///< `output_gradient` is kOutput, which the caller owns
    convolution,  ///< if `rectify`, first the gradient of its ReLU, in place, computed from `output`
    spread,       ///< `gather` wrote `output_gradient`
    gather,       ///< gradient of `shuffle`: reads the second half of `output_gradient`'s channels
    join,  ///< gradient of `pooling` and `crop`: writes the gradient before the ReLU of the pooled image
  };
  Kind kind = Kind::convolution;
  ForwardStep forward;
  int output_gradient = 0;
  int input_gradient = kInput;  ///< kInput: not computed
  bool rectify = false;
  bool dropped = false;  ///< dropout followed the ReLU of the rectified image
  // For `join`: the gradient of the copied centre of the image, (crop_height, crop_width). It is in the first
  // half of this buffer's channels.
  int crop_gradient = 0;
  std::int64_t crop_height = 0, crop_width = 0;
};

/// A forward pass and its backward pass. The forward pass keeps the values that the backward pass reads.
struct GradientPlan {
  std::vector<ForwardStep> forward;
  std::vector<bool> drop_after;  ///< by forward step: whether dropout follows it
  double dropout = 0;            ///< its probability, the same for all
  std::vector<BackwardStep> backward;
  std::vector<PlannedBuffer> buffers;
  std::int64_t bytes = 0;
};

/// Whether `plan_gradient` supports a network. In addition to `can_plan_forward` it requires: no batch
/// normalisation, 2x2 up-convolutions, a crop of every pooled image, and dropout only after ReLU and with one
/// probability.
bool can_plan_gradient(const NetworkDescription& network);
/// Plans a forward and a backward pass. Requires `can_plan_gradient`. Arguments as for `plan_forward`.
GradientPlan plan_gradient(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                           std::int64_t value_bytes);

}  // namespace tessera
