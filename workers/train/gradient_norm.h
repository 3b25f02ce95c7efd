#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace tessera {

/// The Euclidean norm of a flat float vector, summed in double precision; not finite exactly where an element
/// is not. On the CPU the same bits for any number of threads.
double gradient_norm(const at::Tensor& gradient);

/// What to multiply a gradient of this norm by so that its norm is `most` at most (Pascanu et al. 2013); the
/// 1e-6 is PyTorch's, in clip_grad_norm_.
inline double clip_factor(double norm, double most) {
  return std::min(1.0, most / (norm + 1e-6));
}

/// What the weight of a global batch is taken for at least: one in which only classes without weight, or
/// ignored pixels, occur teaches nothing and harms nothing.
constexpr double kLeastWeight = 1e-12;

}  // namespace tessera
