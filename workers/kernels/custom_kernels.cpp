#include "workers/kernels/custom_kernels.h"

#include <ATen/Functions.h>
#include <c10/core/DeviceGuard.h>

#include <limits>
#include <utility>

#include "workers/kernels/gpu_operators.h"

namespace tessera::gpu {
namespace {

constexpr std::int64_t kChannels = 8;         // of a 16-byte vector, which a thread takes at a time
constexpr std::int64_t kMostBlocksY = 65535;  // CUDA's limit

int vectors_of(const at::Tensor& image) {
  return static_cast<int>(image.size(1) / kChannels);
}

int height_of(const at::Tensor& image) {
  return static_cast<int>(image.size(2));
}

int width_of(const at::Tensor& image) {
  return static_cast<int>(image.size(3));
}

at::Tensor in_memory_order(const at::Tensor& image) {
  return image.contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

CustomKernels::CustomKernels(KernelLauncher launch) : launch_(std::move(launch)) {}

template <class... Arguments>
void CustomKernels::start(const at::Tensor& on, const KernelStart& how, Arguments... arguments) const {
  const c10::DeviceGuard guard(on.device());
  start_kernel(launch_, how, arguments...);
}

bool CustomKernels::fits(const at::Tensor& tensor) const {
  return launch_ && tensor.scalar_type() == at::kBFloat16 &&
         reinterpret_cast<std::uintptr_t>(tensor.data_ptr()) % 16 == 0;
}

bool CustomKernels::can_take(const at::Tensor& image) const {
  return fits(image) && image.size(1) % kChannels == 0 && image.size(2) >= 2 && image.size(3) >= 2 &&
         blocks_for(image.size(3) * image.size(1) / kChannels) <= kMostBlocksY &&
         image.is_contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor CustomKernels::pool(const at::Tensor& image) const {
  const int vectors = vectors_of(image), height = height_of(image), width = width_of(image);
  const at::Tensor pooled = empty_image(image, image.size(1), height / 2, width / 2);
  const std::int64_t row = pooled.size(3) * vectors;
  start(image,
        {.name = "tessera_pool", .blocks_x = image.size(0) * (height / 2), .blocks_y = blocks_for(row)},
        image.data_ptr(), pooled.data_ptr(), height, width, vectors);
  return pooled;
}

at::Tensor CustomKernels::join(const at::Tensor& image, const at::Tensor& pooled_gradient,
                               const at::Tensor& crop_gradient, std::int64_t crop_height,
                               std::int64_t crop_width, double kept) const {
  const at::Tensor pooled = in_memory_order(pooled_gradient), cropped = in_memory_order(crop_gradient);
  const int vectors = vectors_of(image), height = height_of(image), width = width_of(image);
  const at::Tensor gradient = empty_image(image, image.size(1), height, width);
  const std::int64_t rows = (image.size(2) + 1) / 2, row = (image.size(3) + 1) / 2 * vectors;
  start(image, {.name = "tessera_join", .blocks_x = image.size(0) * rows, .blocks_y = blocks_for(row)},
        image.data_ptr(), pooled.data_ptr(), cropped.data_ptr(), gradient.data_ptr(), height, width, vectors,
        static_cast<int>(crop_height), static_cast<int>(crop_width), vectors_of(cropped),
        static_cast<float>(1 / kept));
  return gradient;
}

bool CustomKernels::can_convolve(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias) const {
  constexpr std::int64_t kMostFilters = 128;
  return fits(weight) && fits(bias) && x.scalar_type() == at::kBFloat16 && x.size(1) == 1 &&
         x.is_contiguous() && weight.size(1) == 1 && weight.size(2) == 3 && weight.size(3) == 3 &&
         weight.size(0) % kChannels == 0 && weight.size(0) <= kMostFilters &&
         weight.is_contiguous(at::MemoryFormat::ChannelsLast) && bias.is_contiguous() &&
         x.numel() < std::numeric_limits<int>::max() / 2;
}

at::Tensor CustomKernels::convolve_and_rectify(const at::Tensor& x, const at::Tensor& weight,
                                               const at::Tensor& bias, std::int64_t padding) const {
  constexpr std::int64_t kRun = 8;  // pixels, as in the kernel
  const int height = height_of(x), width = width_of(x),
            vectors = static_cast<int>(weight.size(0) / kChannels);
  const at::Tensor out = empty_image(x, weight.size(0), height - 2 + 2 * padding, width - 2 + 2 * padding);
  const std::int64_t runs = out.size(0) * out.size(2) * ((out.size(3) + kRun - 1) / kRun),
                     together = kKernelThreads / vectors;
  start(x, {.name = "tessera_first_convolution", .blocks_x = (runs + together - 1) / together, .loops = true},
        x.data_ptr(), weight.data_ptr(), bias.data_ptr(), out.data_ptr(), static_cast<int>(x.size(0)), height,
        width, vectors, static_cast<int>(padding));
  return out;
}

bool CustomKernels::can_classify(const at::Tensor& image, const at::Tensor& weight,
                                 const at::Tensor& bias) const {
  return can_take(image) && fits(weight) && bias.scalar_type() == at::kBFloat16 && weight.size(0) <= 4 &&
         weight.size(2) == 1 && weight.size(3) == 1 && weight.is_contiguous(at::MemoryFormat::ChannelsLast) &&
         bias.is_contiguous() && image.size(0) <= kMostBlocksY;
}

at::Tensor CustomKernels::classify(const at::Tensor& image, const at::Tensor& weight,
                                   const at::Tensor& bias) const {
  const auto plain = image.options().dtype(at::kFloat).memory_format(at::MemoryFormat::Contiguous);
  const at::Tensor logits = at::empty({image.size(0), weight.size(0), image.size(2), image.size(3)}, plain);
  const std::int64_t pixels = image.size(2) * image.size(3);
  start(image, {.name = "tessera_classes", .blocks_x = blocks_for(pixels), .blocks_y = image.size(0)},
        image.data_ptr(), weight.data_ptr(), bias.data_ptr(), logits.data_ptr(),
        static_cast<long long>(pixels), vectors_of(image), static_cast<int>(weight.size(0)));
  return logits;
}

at::Tensor convolve_and_rectify(const CustomKernels& custom, const GpuKernels& kernels, const at::Tensor& x,
                                const at::Tensor& weight, const at::Tensor& bias, std::int64_t padding) {
  return kernels.own && custom.can_convolve(x, weight, bias)
             ? custom.convolve_and_rectify(x, weight, bias, padding)
             : convolve_and_rectify(x, weight, bias, padding, kernels.fused);
}

at::Tensor classify(const CustomKernels& custom, const GpuKernels& kernels, const at::Tensor& image,
                    const at::Tensor& weight, const at::Tensor& bias, std::int64_t classes) {
  const at::Tensor rows = weight.narrow(0, 0, classes), biases = bias.narrow(0, 0, classes);
  if (kernels.own && custom.can_classify(image, rows, biases)) return custom.classify(image, rows, biases);
  return product(image, weight, bias).narrow(1, 0, classes);
}

}  // namespace tessera::gpu
