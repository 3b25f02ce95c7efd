#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

#include "io/network_geometry.h"

namespace tessera {

/// Whether a network says the same of a pixel, bit for bit, wherever it is in an input. Some kernels share out the terms of a
/// sum by where a pixel is. What then differs in a last bit grows through the layers to what a precision is unsure of, and where
/// two tiles meet their pixels lie at other places. `run`: logits (n, classes, h, w) of an input; `like`: an input of the size
/// that it is asked for. It is tried with a pattern, as it is and moved by some steps of the pooling grid. Nothing, where inputs
/// are too small to be moved, or logits are not finite.
std::optional<bool> is_independent_of_place(const NetworkGeometry& geometry, const at::Tensor& like,
                                            const std::function<at::Tensor(const at::Tensor&)>& run);

}  // namespace tessera
