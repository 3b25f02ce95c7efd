#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>

namespace tessera {

/// The Euclidean norm of a flat float vector, summed in double precision. Not finite if and only if an
/// element is not. On the CPU the same bits for any number of threads.
double gradient_norm(const at::Tensor& gradient);

/// The factor that reduces a gradient of this norm to a norm of at most `most` (Pascanu et al. 2013). The
/// 1e-6 is that of PyTorch's clip_grad_norm_.
inline double clip_factor(double norm, double most) {
  return std::min(1.0, most / (norm + 1e-6));
}

/// Lower limit of the weight of a global batch as a divisor. A batch that has only classes without weight, or
/// ignored pixels, then has a zero gradient.
constexpr double kLeastWeight = 1e-12;

}  // namespace tessera
