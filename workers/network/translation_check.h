#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

#include "io/geometry/network_geometry.h"

namespace tessera {

/// Whether a network says the same of a pixel, bit for bit, wherever it is in an input. Some kernels share
/// out the terms of a sum by where a pixel is. What then differs in a last bit grows through the layers to
/// what a precision is unsure of, and where two tiles meet their pixels lie at other places. `run`: logits
/// (n, classes, h, w) of an input; `like`: an input of the size that it is asked for. It is tried with a
/// pattern, as it is and moved by some steps of the pooling grid. Nothing, where inputs are too small to be
/// moved, or logits are not finite.
std::optional<bool> is_translation_invariant(const NetworkGeometry& geometry, const at::Tensor& like,
                                             const std::function<at::Tensor(const at::Tensor&)>& run);

/// Whether it also says the same in an input of another size, where that has room for what the smaller one's
/// borders do not see.
std::optional<bool> is_shape_invariant(const NetworkGeometry& geometry, const at::Tensor& like,
                                       const std::function<at::Tensor(const at::Tensor&)>& run);

/// An input of one layer.
struct LayerInput {
  std::int64_t samples = 1, channels = 1, height = 0, width = 0;
  at::TensorOptions options;  ///< type and device; it is channels_last
};
/// A pattern that repeats itself after `period` pixels down and across.
at::Tensor repeating_image(const LayerInput& input, std::int64_t period);

/// Whether a layer says the same of a pixel wherever it is, by multiples of `step` pixels. `run` keeps the
/// resolution; `border` pixels of its output at each side may see zeros around. It takes no more memory than
/// the layer itself: what repeats itself in the input must do so in the output. Nothing, where the input is
/// too small for that, or its output not finite.
std::optional<bool> is_layer_translation_invariant(const LayerInput& input, std::int64_t step,
                                                   std::int64_t border,
                                                   const std::function<at::Tensor(const at::Tensor&)>& run);

}  // namespace tessera
