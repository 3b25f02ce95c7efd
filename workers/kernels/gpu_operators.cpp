#include "workers/kernels/gpu_operators.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <array>
#include <vector>

#include "io/geometry/box.h"

namespace tessera::gpu {
namespace {

/// A view of the last channels of an image as (n, h, w, 2, 2, filters): 2x2 pixels per pixel of half the
/// resolution.
at::Tensor pairs_of(const at::Tensor& image, std::int64_t filters) {
  const std::int64_t channels = image.size(1);
  return image.permute({0, 2, 3, 1})
      .view({image.size(0), image.size(2) / 2, 2, image.size(3) / 2, 2, channels})
      .narrow(5, channels - filters, filters)
      .permute({0, 1, 3, 2, 4, 5});
}

/// Whether a tensor can be read in aligned elements of so many bytes along its last axis.
bool can_be_read_in(const at::Tensor& x, std::int64_t bytes) {
  const std::int64_t values = bytes / static_cast<std::int64_t>(x.element_size());
  if (values == 0 || x.stride(-1) != 1 || x.size(-1) % values != 0 || x.storage_offset() % values != 0)
    return false;
  if (reinterpret_cast<std::uintptr_t>(x.data_ptr()) % static_cast<std::uintptr_t>(bytes) != 0) return false;
  for (std::int64_t axis = 0; axis + 1 < x.dim(); ++axis) {
    if (x.stride(axis) % values != 0) return false;
  }
  return true;
}

/// Copies in elements as wide as the dense last axes of both allow.
void copy_wide(const at::Tensor& from, const at::Tensor& to) {
  // The types serve as containers of bits only.
  constexpr std::array kWideTypes = {at::kComplexDouble, at::kLong, at::kInt};
  for (const at::ScalarType wide : kWideTypes) {
    const auto bytes = static_cast<std::int64_t>(c10::elementSize(wide));
    if (!can_be_read_in(from, bytes) || !can_be_read_in(to, bytes)) continue;
    to.view(wide).copy_(from.view(wide));
    return;
  }
  to.copy_(from);
}

/// An image's pixels in parts of some rows, (parts, pixels, channels). A product over one part has `values`
/// values; there are so many parts that all products have about `most_values`.
at::Tensor in_parts(const at::Tensor& image, std::int64_t values, std::int64_t most_values) {
  const std::int64_t samples = image.size(0), height = image.size(2),
                     wanted = most_values / (samples * values);
  std::int64_t parts = std::clamp<std::int64_t>(wanted, 1, height);
  while (height % parts != 0)
    --parts;
  return pixels_of(image).reshape({samples * parts, height / parts * image.size(3), image.size(1)});
}

}  // namespace

at::Tensor channels_last(const at::Tensor& x, at::ScalarType type) {
  return at::empty(x.sizes(), x.options().dtype(type).memory_format(at::MemoryFormat::ChannelsLast)).copy_(x);
}

at::Tensor empty_image(const at::Tensor& like, std::int64_t channels, std::int64_t height,
                       std::int64_t width) {
  return at::empty({like.size(0), channels, height, width},
                   like.options().memory_format(at::MemoryFormat::ChannelsLast));
}

at::Tensor middle_of(const at::Tensor& image, std::int64_t height, std::int64_t width) {
  return image.narrow(2, (image.size(2) - height) / 2, height).narrow(3, (image.size(3) - width) / 2, width);
}

void copy_image(const at::Tensor& from, const at::Tensor& to) {
  copy_wide(from.permute({0, 2, 3, 1}), to.permute({0, 2, 3, 1}));
}

at::Tensor pixels_of(const at::Tensor& image) {
  return image.permute({0, 2, 3, 1}).reshape({-1, image.size(1)});
}

at::Tensor padded_rows(const at::Tensor& x) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.front() = round_up(sizes.front(), 8);
  at::Tensor padded = at::zeros(sizes, x.options());
  padded.narrow(0, 0, x.size(0)).copy_(x);
  return padded;
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor y = at::addmm(bias, pixels_of(x), weight.flatten(1).t());
  return y.view({x.size(0), x.size(2), x.size(3), weight.size(0)}).permute({0, 3, 1, 2});
}

at::Tensor product_gradient_by_x(const at::Tensor& gradient, const at::Tensor& weight) {
  const at::Tensor by_x = at::mm(pixels_of(gradient), weight.flatten(1));
  return by_x.view({gradient.size(0), gradient.size(2), gradient.size(3), weight.size(1)})
      .permute({0, 3, 1, 2});
}

at::Tensor product_gradient_by_weight(const at::Tensor& gradient, const at::Tensor& x) {
  // One product would have few values, each a sum over all pixels, and would use few multiprocessors.
  constexpr std::int64_t kMostValues = std::int64_t{1} << 22;
  const std::int64_t values = gradient.size(1) * x.size(1);
  return at::bmm(in_parts(gradient, values, kMostValues).transpose(1, 2), in_parts(x, values, kMostValues))
      .sum(0, false, at::kFloat);
}

at::Tensor sum_over_pixels(const at::Tensor& image) {
  if (!image.is_cuda()) return image.sum(at::IntArrayRef{0, 2, 3});
  const at::Tensor pixels = pixels_of(image);  // a matrix product is many times faster than LibTorch's sum
  return at::mm(at::ones({1, pixels.size(0)}, pixels.options()), pixels).select(0, 0);
}

at::Tensor taps_of(const at::Tensor& x, std::int64_t padding) {
  const at::Tensor padded = padding > 0 ? at::constant_pad_nd(x, {padding, padding, padding, padding}) : x;
  const at::Tensor seen = padded.permute({0, 2, 3, 1}).unfold(1, 3, 1).unfold(2, 3, 1);
  const std::int64_t taps = 9 * x.size(1);
  at::Tensor image =
      at::zeros({seen.size(0), seen.size(1), seen.size(2), round_up(taps + 1, 8)}, x.options());
  image.narrow(3, 0, taps).view(seen.sizes()).copy_(seen);
  image.select(3, taps).fill_(1);
  return image.permute({0, 3, 1, 2});
}

at::Tensor convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                std::int64_t padding, bool fused) {
  if (fused) return at::cudnn_convolution_relu(x, weight, bias, {1, 1}, {padding, padding}, {1, 1}, 1);
  at::Tensor y = at::conv2d(x, weight, bias, 1, padding);
  return at::relu_(y);
}

at::Tensor pool_by_maxima(const at::Tensor& x) {
  const std::int64_t height = x.size(2) / 2 * 2, width = x.size(3) / 2 * 2;
  const auto corner = [&](std::int64_t row, std::int64_t column) {
    return x.slice(2, row, height, 2).slice(3, column, width, 2);
  };
  return at::maximum(at::maximum(corner(0, 0), corner(0, 1)), at::maximum(corner(1, 0), corner(1, 1)));
}

void shuffle_into(const at::Tensor& product, at::Tensor& image) {
  const std::int64_t filters = product.size(1) / 4;
  const at::Tensor to = pairs_of(image, filters);
  copy_wide(product.permute({0, 2, 3, 1}).reshape(to.sizes()), to);
}

at::Tensor gather_from(const at::Tensor& image, std::int64_t filters) {
  at::Tensor product = empty_image(image, 4 * filters, image.size(2) / 2, image.size(3) / 2);
  const at::Tensor from = pairs_of(image, filters);
  copy_wide(from, product.permute({0, 2, 3, 1}).view(from.sizes()));
  return product;
}

}  // namespace tessera::gpu
