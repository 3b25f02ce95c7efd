#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "workers/device/gpu_kernels.h"

namespace tessera::gpu {

/// Convolutions by custom CUDA kernels with a fixed reduction order, in float32: by the taps' rows, their
/// columns, the channels (convolution_kernels.cu). The kernels for Hopper (hopper/README.md), for bfloat16
/// and float16 with channels a multiple of 64, go by groups of 64 channels, in each by the taps and the
/// channels. For bfloat16 and float16, tensor cores add 16 terms at a time. cuDNN and cuBLAS choose an order
/// by the image's size, and some kernels by the pixel's place. These kernels are shape-invariant and
/// translation-invariant: a pixel has the same bits in every image. On CUDA from compute capability 8.0 on.
/// Errors: c10::Error, also where the device has no such kernels.
class FixedOrderConvolution {
 public:
  /// With an empty launcher it takes nothing. `hopper`: the launcher can start hopper_kernels.cu.
  explicit FixedOrderConvolution(KernelLauncher launch, bool hopper = false);

  /// Float32, or bfloat16 or float16 with filters a multiple of 8; 1 to 5 taps down, as many across.
  bool can_take(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  /// x (n, in, h, w), weight (filters, in, taps, taps), bias (filters), all of one type. `before` pixels of 0
  /// are added above and left of the image, `after` below and right of it. The result is channels_last,
  /// (n, filters, h + before + after - taps + 1, likewise for the width). With `rectify` it is ReLU's result;
  /// a NaN stays one.
  at::Tensor convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      std::int64_t before, std::int64_t after, bool rectify) const;
  /// Sides of square images, at least `kSmallestSide`: one for each kernel that convolve() may choose for
  /// such weights. `lost`: pixels by which the output is smaller than the image, down and across.
  static constexpr std::int64_t kSmallestSide = 20;
  std::vector<std::int64_t> sides_of_kernels(const at::Tensor& weight, std::int64_t lost) const;

 private:
  KernelLauncher launch_;
  bool hopper_;
};

}  // namespace tessera::gpu
