#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tessera::gpu {

// What the network on a GPU is made of, by LibTorch's operators for any device. Images are (n, channels, h, w),
// channels_last: a pixel's channels lie together.

/// A copy in a type whose strides say that it is channels_last, which contiguous() does not see to where a side is 1:
/// convolutions go by the strides.
at::Tensor channels_last(const at::Tensor& x, at::ScalarType type);

/// Uninitialised, like `like` but for its channels, height and width.
at::Tensor empty_image(const at::Tensor& like, std::int64_t channels, std::int64_t height, std::int64_t width);

/// The middle of an image: a view.
at::Tensor middle_of(const at::Tensor& image, std::int64_t height, std::int64_t width);

/// relu(convolution(x, weight) + bias), `padding` pixels of 0 on all sides. Fused: in one kernel of cuDNN's, CUDA only.
at::Tensor convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, std::int64_t padding,
                                bool fused);

/// Maxima of 2x2 pixels, without their places; an odd last row or column is left out.
at::Tensor pool_by_maxima(const at::Tensor& x);

/// An up-convolution's product, for each pixel the channels of its 2x2 output pixels, (n, 4 filters, h, w), into the last
/// `filters` channels of an image of twice the height and width.
void shuffle_into(const at::Tensor& product, at::Tensor& image);
/// The reverse: from there.
at::Tensor gather_from(const at::Tensor& image, std::int64_t filters);

}  // namespace tessera::gpu
