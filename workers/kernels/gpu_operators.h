#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tessera::gpu {

// Operators of networks on a GPU, built from LibTorch's operators for any device. Images are (n, channels, h,
// w), channels_last: a pixel's channels are contiguous.

/// A copy in this type with channels_last strides. contiguous() may leave other strides where a side is 1,
/// and convolutions choose their layout by the strides.
at::Tensor channels_last(const at::Tensor& x, at::ScalarType type);

/// An uninitialised image like `like`, with other channels, height and width.
at::Tensor empty_image(const at::Tensor& like, std::int64_t channels, std::int64_t height,
                       std::int64_t width);

/// The middle of an image: a view.
at::Tensor middle_of(const at::Tensor& image, std::int64_t height, std::int64_t width);

/// Copies an image into another one of the same sizes and type, without overlap. Both may be views, such as
/// middle_of() or a part of the channels. It copies elements as wide as a pixel's channels allow, because a
/// GPU computes an address for each element.
void copy_image(const at::Tensor& from, const at::Tensor& to);

/// An image as (pixels, channels): a view if it is dense.
at::Tensor pixels_of(const at::Tensor& image);

/// A weight or bias with rows padded by zeros to a multiple of 8; other products are slow on a GPU.
at::Tensor padded_rows(const at::Tensor& x);

/// A 1x1 convolution with bias as a matrix product. weight (out, in, 1, 1), bias (out).
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
/// Its gradients from that of the result: by x, and by the weight, (out, in), float32.
at::Tensor product_gradient_by_x(const at::Tensor& gradient, const at::Tensor& weight);
at::Tensor product_gradient_by_weight(const at::Tensor& gradient, const at::Tensor& x);

/// The sum of each channel over all pixels: the gradient by a bias, (channels), in the image's type.
at::Tensor sum_over_pixels(const at::Tensor& image);

/// What each output pixel of a 3x3 convolution reads, as channels: 9 per channel of x, in the order of the
/// weight's (in, 3, 3); then a 1, by which a bias is multiplied, and zeros up to a multiple of 8.
at::Tensor taps_of(const at::Tensor& x, std::int64_t padding);

/// relu(convolution(x, weight) + bias), with `padding` zero pixels on all sides. `fused`: in one kernel of
/// cuDNN, CUDA only.
at::Tensor convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                std::int64_t padding, bool fused);

/// Maxima of 2x2 pixels, without indices; an odd last row or column is left out.
at::Tensor pool_by_maxima(const at::Tensor& x);

/// Writes an up-convolution's product, (n, 4 filters, h, w), with the channels of 2x2 output pixels per
/// pixel, into the last `filters` channels of an image of twice the height and width.
void shuffle_into(const at::Tensor& product, at::Tensor& image);
/// The inverse of shuffle_into().
at::Tensor gather_from(const at::Tensor& image, std::int64_t filters);

}  // namespace tessera::gpu
