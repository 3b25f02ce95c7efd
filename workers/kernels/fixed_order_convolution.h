#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "workers/device/gpu_kernels.h"

namespace tessera::gpu {

/// Convolutions by kernels of Tessera's own that sum each pixel's terms in one order, in float32: by the
/// taps' rows, their columns, the channels (convolution_kernels.cu); on a Hopper card, of bfloat16 and
/// float16 with channels by 64s, by groups of 64 channels, in each by the taps and the channels
/// (hopper_kernels.cu). Of bfloat16 and float16 16 terms at a time are added, as the card's tensor cores do.
/// cuDNN's and cuBLAS's kernels choose an order by the image's size, and some by the pixel's place; with
/// these a pixel is the same bit for bit, whatever image it is seen in. On CUDA from compute capability 8.0
/// on. Errors: c10::Error, also where the device cannot.
class FixedOrderConvolution {
 public:
  /// By an empty launcher it can take nothing; `hopper`: it starts hopper_kernels.cu, too.
  explicit FixedOrderConvolution(KernelLauncher launch, bool hopper = false);

  /// Float32, or bfloat16 or float16 with filters by eights; 1 to 5 taps down, as many across.
  bool can_take(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  /// x (n, in, h, w), weight (filters, in, taps, taps), bias (filters), all of one type; `before` and `after`
  /// pixels of 0 above and left of, below and right of the image. The result, (n, filters, h + before + after
  /// - taps + 1, likewise), is channels_last; ReLU's values where `rectify`, of which a NaN stays one.
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      std::int64_t before, std::int64_t after, bool rectify) const;
  /// Sides of square images, of `kSmallestSide` or more, which lose so many pixels down and across: one for
  /// each kernel that there is for such weights.
  static constexpr std::int64_t kSmallestSide = 20;
  std::vector<std::int64_t> sides_of_kernels(const at::Tensor& weight, std::int64_t lost) const;

 private:
  KernelLauncher launch_;
  bool hopper_;
};

}  // namespace tessera::gpu
