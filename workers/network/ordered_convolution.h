#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "workers/network/gpu_kernels.h"

namespace tessera::gpu {

/// The smallest side of a square image with which a convolution to so many filters goes by a kernel for large images.
std::int64_t side_of_large_parts(std::int64_t filters);

/// Convolutions by kernels of Tessera's own (convolution_kernels.cu) that sum each pixel's terms in one order: by the taps' rows, their
/// columns, the channels, in float32; of bfloat16 and float16 by groups of 16 terms, each added as the card's tensor cores do. cuDNN's and cuBLAS's kernels choose an order by the image's size, and some by the pixel's place; with
/// these a pixel is the same bit for bit, whatever image it is seen in. On CUDA from compute capability 8.0 on.
/// Errors: c10::Error, also where the device cannot.
class OrderedConvolution {
 public:
  /// By an empty launcher it can take nothing.
  explicit OrderedConvolution(KernelLauncher launch);

  /// Float32, or bfloat16 or float16 with filters by eights; 1 to 5 taps down, as many across.
  bool can_take(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  /// x (n, in, h, w), weight (filters, in, taps, taps), bias (filters), all of one type; `before` and `after` pixels of 0 above and left of,
  /// below and right of the image. The result, (n, filters, h + before + after - taps + 1, likewise), is channels_last; ReLU's values where
  /// `rectify`, of which a NaN stays one.
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, std::int64_t before, std::int64_t after,
                      bool rectify) const;

 private:
  KernelLauncher launch_;
};

}  // namespace tessera::gpu
