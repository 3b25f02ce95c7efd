#pragma once

#include <cstdint>
#include <vector>

#include "workers/network/network_description.h"

namespace tessera {

/// One operation of a 2-D network's forward pass, of one or several of its layers. Buffers are (y, x,
/// channels), row-major.
struct ForwardStep {
  enum class Kind {
    convolution,  ///< 3x3, bias, batch normalisation where the network has it, ReLU
    pooling,      ///< maximum of 2x2
    crop,         ///< the middle of `in` into the first half of `out`'s channels
    spread,       ///< the up-convolution's product: per input pixel, 2x2 output pixels' channels
    shuffle,      ///< `in`, made by `spread`, into the second half of `out`'s channels
    to_classes,   ///< 1x1, bias; writes the logits
  };
  Kind kind = Kind::convolution;
  int layer = 0;        ///< of the description: the convolution or up-convolution whose weights it uses
  int in = 0, out = 0;  ///< buffers; kInput and kOutput are the caller's
  std::int64_t in_height = 0, in_width = 0, in_channels = 0;
  std::int64_t out_height = 0, out_width = 0, out_channels = 0;
  std::int64_t padding = 0;  ///< zeros around the input of a convolution
};
constexpr int kInput = -1, kOutput = -2;

/// A piece of the memory that the steps of a pass share.
struct PlannedBuffer {
  std::int64_t bytes = 0, offset = 0;
  int first_step = 0, last_step = 0;  ///< written first, read last
};

/// All steps of a forward pass over one input, and where their buffers lie in one piece of memory: buffers
/// that are alive together do not overlap, all others may. The concatenation is no step: its two halves are
/// written where they belong.
struct ForwardPlan {
  std::vector<ForwardStep> steps;
  std::vector<PlannedBuffer> buffers;
  std::int64_t bytes = 0;  ///< of the whole piece
};

/// Whether `plan_forward` knows all layers of a network: 2-D; 3x3 convolutions, each with ReLU, maybe behind
/// batch normalisation; 2x2 max pooling; up-convolutions of stride 2, 2x2 or 3x3, each into a concatenation
/// with as many channels; a 1x1 convolution at the end; dropout anywhere.
bool can_plan_forward(const NetworkDescription& network);
/// Only where `can_plan_forward`. `height` and `width` are legal sides of the network, `value_bytes` 4
/// (float32) or 2 (bfloat16).
ForwardPlan plan_forward(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                         std::int64_t value_bytes);

/// One operation of a backward pass; all dims are those of the forward step that it is the gradient of. It
/// adds to the gradient of that step's parameters, if it has some, and writes the gradient of its input.
struct BackwardStep {
  enum class Kind {
    to_classes,   ///< `output_gradient` is kOutput: the caller's
    convolution,  ///< where `rectify`, first the gradient of its ReLU, in place, by `output`
    spread,       ///< `output_gradient` is what `gather` wrote
    gather,       ///< of `shuffle`: reads the second half of `output_gradient`'s channels
    join,  ///< of `pooling` and `crop` together: `input_gradient` is of the pooled image, its ReLU included
  };
  Kind kind = Kind::convolution;
  ForwardStep forward;
  int output_gradient = 0;
  int input_gradient = kInput;  ///< kInput: nobody asks for it
  bool rectify = false;
  bool dropped = false;  ///< the rectified image had dropout behind its ReLU
  // Of `join`: the image whose middle was copied also has the gradient of the first half of this buffer's
  // channels, (crop_height, crop_width).
  int crop_gradient = 0;
  std::int64_t crop_height = 0, crop_width = 0;
};

/// A forward pass that keeps what the backward pass after it reads, and that backward pass.
struct GradientPlan {
  std::vector<ForwardStep> forward;
  std::vector<bool> drop_after;  ///< for each forward step: dropout on what it wrote
  double dropout = 0;            ///< its probability
  std::vector<BackwardStep> backward;
  std::vector<PlannedBuffer> buffers;
  std::int64_t bytes = 0;
};

/// Whether `plan_gradient` knows a network: `can_plan_forward`, no batch normalisation, 2x2 up-convolutions,
/// every pooled image also copied, dropout of one probability behind ReLUs or none.
bool can_plan_gradient(const NetworkDescription& network);
GradientPlan plan_gradient(const NetworkDescription& network, std::int64_t height, std::int64_t width,
                           std::int64_t value_bytes);

}  // namespace tessera
