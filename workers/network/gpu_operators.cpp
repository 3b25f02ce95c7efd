#include "workers/network/gpu_operators.h"

#include <ATen/Functions.h>

namespace tessera::gpu {
namespace {

/// The last channels of an image, as (n, h, w, 2, 2, filters): what belongs to each pixel of half the resolution. A view.
at::Tensor pairs_of(const at::Tensor& image, std::int64_t filters) {
  const std::int64_t channels = image.size(1);
  return image.permute({0, 2, 3, 1})
      .view({image.size(0), image.size(2) / 2, 2, image.size(3) / 2, 2, channels})
      .narrow(5, channels - filters, filters)
      .permute({0, 1, 3, 2, 4, 5});
}

}  // namespace

at::Tensor channels_last(const at::Tensor& x, at::ScalarType type) {
  return at::empty(x.sizes(), x.options().dtype(type).memory_format(at::MemoryFormat::ChannelsLast)).copy_(x);
}

at::Tensor empty_image(const at::Tensor& like, std::int64_t channels, std::int64_t height, std::int64_t width) {
  return at::empty({like.size(0), channels, height, width}, like.options().memory_format(at::MemoryFormat::ChannelsLast));
}

at::Tensor middle_of(const at::Tensor& image, std::int64_t height, std::int64_t width) {
  return image.narrow(2, (image.size(2) - height) / 2, height).narrow(3, (image.size(3) - width) / 2, width);
}

at::Tensor convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, std::int64_t padding,
                                bool fused) {
  if (fused) return at::cudnn_convolution_relu(x, weight, bias, {1, 1}, {padding, padding}, {1, 1}, 1);
  at::Tensor y = at::conv2d(x, weight, bias, 1, padding);
  return at::relu_(y);
}

at::Tensor pool_by_maxima(const at::Tensor& x) {
  const std::int64_t height = x.size(2) / 2 * 2, width = x.size(3) / 2 * 2;
  const auto corner = [&](std::int64_t row, std::int64_t column) { return x.slice(2, row, height, 2).slice(3, column, width, 2); };
  return at::maximum(at::maximum(corner(0, 0), corner(0, 1)), at::maximum(corner(1, 0), corner(1, 1)));
}

void shuffle_into(const at::Tensor& product, at::Tensor& image) {
  const std::int64_t filters = product.size(1) / 4;
  at::Tensor to = pairs_of(image, filters);
  to.copy_(product.permute({0, 2, 3, 1}).reshape(to.sizes()));
}

at::Tensor gather_from(const at::Tensor& image, std::int64_t filters) {
  at::Tensor product = empty_image(image, 4 * filters, image.size(2) / 2, image.size(3) / 2);
  const at::Tensor from = pairs_of(image, filters);
  product.permute({0, 2, 3, 1}).view(from.sizes()).copy_(from);
  return product;
}

}  // namespace tessera::gpu
