#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "workers/device/gpu_kernels.h"

namespace tessera::gpu {

/// Custom CUDA kernels (device_kernels.cu) as operators on tensors: steps that memory bandwidth limits, on
/// images in bfloat16 and channels_last. Callers ask with `can_...` first, and use LibTorch's operators
/// otherwise. Errors: c10::Error.
class CustomKernels {
 public:
  /// With an empty launcher every `can_...` is false.
  explicit CustomKernels(KernelLauncher launch);

  /// Whether the image is bfloat16, channels_last, aligned to 16 bytes, with channels a multiple of 8.
  bool can_take(const at::Tensor& image) const;
  /// As at::max_pool2d(image, 2).
  at::Tensor pool(const at::Tensor& image) const;

  /// The gradient of ReLU's output `image`, which was pooled, and whose middle was copied into the first
  /// channels of another image. It joins the pooled image's gradient and the other image's. `kept` is the
  /// share that a dropout behind the ReLU keeps; 1 without dropout. The gradient is divided by it.
  at::Tensor join(const at::Tensor& image, const at::Tensor& pooled_gradient, const at::Tensor& crop_gradient,
                  std::int64_t crop_height, std::int64_t crop_width, double kept) const;

  /// Whether the layer has one input channel, 3x3 taps, and at most 128 filters, a multiple of 8.
  bool can_convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  /// relu(convolution + bias), as convolve_and_rectify of gpu_operators.h.
  at::Tensor convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                  std::int64_t padding) const;

  /// Whether the layer is a 1x1 convolution to at most four classes, of an image as in can_take().
  bool can_classify(const at::Tensor& image, const at::Tensor& weight, const at::Tensor& bias) const;
  /// Logits (n, classes, h, w) in float32, not rounded to bfloat16.
  at::Tensor classify(const at::Tensor& image, const at::Tensor& weight, const at::Tensor& bias) const;

 private:
  template <class... Arguments>
  void start(const at::Tensor& on, const KernelStart& how, Arguments... arguments) const;
  /// Whether a tensor is bfloat16 and aligned to 16 bytes.
  bool fits(const at::Tensor& tensor) const;

  KernelLauncher launch_;
};

/// relu(convolution + bias): by a custom kernel if `kernels.own` is set and it can, else by gpu_operators.h.
at::Tensor convolve_and_rectify(const CustomKernels& custom, const GpuKernels& kernels, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& bias, std::int64_t padding);
/// Likewise the logits (n, classes, h, w) of a layer whose weights are from padded_rows().
at::Tensor classify(const CustomKernels& custom, const GpuKernels& kernels, const at::Tensor& image,
                    const at::Tensor& weight, const at::Tensor& bias, std::int64_t classes);

}  // namespace tessera::gpu
