#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

#include "io/geometry/network_geometry.h"

namespace tessera {

/// Whether a network is translation-invariant: a pixel's logits are equal, bit for bit, at every position in
/// an input. Some kernels choose the reduction order by the position. The difference in the last bit grows
/// through the layers to the rounding error of the precision. It is visible at seams, because pixels have
/// other positions in the next tile. The test runs a pattern, and the pattern shifted by steps of the pooling
/// grid. `run`: computes logits (n, classes, h, w) of an input. `like`: an input of the tested size. No value
/// if the input is too small for a shift, or if logits are not finite.
std::optional<bool> is_translation_invariant(const NetworkGeometry& geometry, const at::Tensor& like,
                                             const std::function<at::Tensor(const at::Tensor&)>& run);

/// Whether a network is shape-invariant: logits are equal, bit for bit, in a smaller input, except at borders
/// that depend on zero padding. No value if no smaller legal input exists, or if logits are not finite.
std::optional<bool> is_shape_invariant(const NetworkGeometry& geometry, const at::Tensor& like,
                                       const std::function<at::Tensor(const at::Tensor&)>& run);

/// An input of one layer.
struct LayerInput {
  std::int64_t samples = 1, channels = 1, height = 0, width = 0;
  at::TensorOptions options;  ///< type and device; the memory format is channels_last
};
/// A pattern with a period of `period` pixels along y and x.
at::Tensor repeating_image(const LayerInput& input, std::int64_t period);

/// Whether a layer is translation-invariant under shifts by multiples of `step` pixels. A periodic input must
/// give a periodic output, so the test needs no more memory than the layer. `run` keeps the resolution.
/// `border`: pixels at each output edge that may depend on zero padding. No value if the input is too small,
/// or if the output is not finite.
std::optional<bool> is_layer_translation_invariant(const LayerInput& input, std::int64_t step,
                                                   std::int64_t border,
                                                   const std::function<at::Tensor(const at::Tensor&)>& run);

}  // namespace tessera
