#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tessera::gpu {

// What the network on a GPU is made of, by LibTorch's operators for any device. Images are (n, channels, h,
// w), channels_last: a pixel's channels lie together.

/// A copy in a type whose strides say that it is channels_last, which contiguous() does not see to where a
/// side is 1: convolutions go by the strides.
at::Tensor channels_last(const at::Tensor& x, at::ScalarType type);

/// Uninitialised, like `like` but for its channels, height and width.
at::Tensor empty_image(const at::Tensor& like, std::int64_t channels, std::int64_t height,
                       std::int64_t width);

/// The middle of an image: a view.
at::Tensor middle_of(const at::Tensor& image, std::int64_t height, std::int64_t width);

/// Copies an image into another one of the same sizes and type, which lies elsewhere; both may be views, as
/// middle_of() or a part of the channels. It goes in pieces as wide as a pixel's channels allow: a GPU
/// computes a place for each.
void copy_image(const at::Tensor& from, const at::Tensor& to);

/// (pixels, channels) of an image: a view where it is dense.
at::Tensor pixels_of(const at::Tensor& image);

/// A weight or bias with zeros behind its rows, up to a multiple of 8: products of fewer are slow on a GPU.
at::Tensor padded_rows(const at::Tensor& x);

/// A convolution of 1x1 pixel with its bias as a product of matrices. weight (out, in, 1, 1), bias (out).
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
/// Its gradients, given that of its result: by x, and by the weight, (out, in), float32.
at::Tensor product_gradient_by_x(const at::Tensor& gradient, const at::Tensor& weight);
at::Tensor product_gradient_by_weight(const at::Tensor& gradient, const at::Tensor& x);

/// The sum of each channel over all pixels: the gradient by a bias, (channels), in the image's type.
at::Tensor sum_over_pixels(const at::Tensor& image);

/// What each output pixel of a 3x3 convolution sees, as channels: 9 per channel of x, in the order of the
/// weight's (in, 3, 3); behind them a 1, which a bias is multiplied by, and zeros up to a multiple of 8.
at::Tensor taps_of(const at::Tensor& x, std::int64_t padding);

/// relu(convolution(x, weight) + bias), `padding` pixels of 0 on all sides. Fused: in one kernel of cuDNN's,
/// CUDA only.
at::Tensor convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                std::int64_t padding, bool fused);

/// Maxima of 2x2 pixels, without their places; an odd last row or column is left out.
at::Tensor pool_by_maxima(const at::Tensor& x);

/// An up-convolution's product, for each pixel the channels of its 2x2 output pixels, (n, 4 filters, h, w),
/// into the last `filters` channels of an image of twice the height and width.
void shuffle_into(const at::Tensor& product, at::Tensor& image);
/// The reverse: from there.
at::Tensor gather_from(const at::Tensor& image, std::int64_t filters);

}  // namespace tessera::gpu
