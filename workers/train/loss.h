#pragma once

#include <ATen/core/Tensor.h>

namespace tessera {

/// The energy of Ronneberger et al. 2015, eq. 1, as a sum: -sum over pixels of w(x) log p_l(x)(x), in log
/// space. `logits` (batch, classes, h, w) float32; with one class the sigmoid's cross-entropy. `classes`
/// (batch, h, w) int64 in [0, classes); `weights` (batch, h, w) float32. Divide by the sum of the weights of
/// the whole global batch for the mean.
at::Tensor weighted_cross_entropy_sum(const at::Tensor& logits, const at::Tensor& classes, const at::Tensor& weights);

}  // namespace tessera
