#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "workers/device/gpu_kernels.h"

namespace tessera::gpu {

/// Kernels of Tessera's own, as tensors' operators. They know images in bfloat16 and channels_last, of which
/// memory sets the pace, and reach it where LibTorch's do not. Whoever calls one asks before whether it
/// `can`, else takes LibTorch's. Errors: c10::Error.
class CustomKernels {
 public:
  /// By an empty launcher they can nothing.
  explicit CustomKernels(KernelLauncher launch);

  /// Channels by eights, as they lie in memory.
  bool can_take(const at::Tensor& image) const;
  /// As at::max_pool2d(image, 2).
  at::Tensor pool(const at::Tensor& image) const;

  /// The gradient of an image, ReLU's values, that was pooled and whose middle was copied into the first
  /// channels of another image: of the pooled image's gradient, and of the other's. Where dropout was behind
  /// the ReLU it is divided by `kept`, the share that dropout keeps, else by 1.
  at::Tensor join(const at::Tensor& image, const at::Tensor& pooled_gradient, const at::Tensor& crop_gradient,
                  std::int64_t crop_height, std::int64_t crop_width, double kept) const;

  /// One input channel, 3x3, at most 128 filters by eights.
  bool can_convolve(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const;
  /// relu(convolution + bias), as convolve_and_rectify of gpu_operators.h.
  at::Tensor convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                  std::int64_t padding) const;

  /// A 1x1 convolution of an image that it can take to at most four classes.
  bool can_classify(const at::Tensor& image, const at::Tensor& weight, const at::Tensor& bias) const;
  /// Logits (n, classes, h, w) in float32, which are not rounded to bfloat16 before.
  at::Tensor classify(const at::Tensor& image, const at::Tensor& weight, const at::Tensor& bias) const;

 private:
  template <class... Arguments>
  void start(const at::Tensor& on, const KernelStart& how, Arguments... arguments) const;
  /// In bfloat16 and at a place that 16-byte accesses can start at.
  bool fits(const at::Tensor& tensor) const;

  KernelLauncher launch_;
};

/// relu(convolution + bias): by an own kernel where `kernels` say so and there is one, else as
/// gpu_operators.h has it.
at::Tensor convolve_and_rectify(const CustomKernels& own, const GpuKernels& kernels, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& bias, std::int64_t padding);
/// Likewise the logits (n, classes, h, w) of a layer in padded_rows().
at::Tensor classify(const CustomKernels& own, const GpuKernels& kernels, const at::Tensor& image,
                    const at::Tensor& weight, const at::Tensor& bias, std::int64_t classes);

}  // namespace tessera::gpu
