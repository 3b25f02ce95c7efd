#include "workers/samples/device_sampler.h"

#include <ATen/DeviceGuard.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "workers/numbers/cubic_kernel.h"

namespace tessera {
namespace {

/// A view of a buffer in the host's memory.
template <class T>
at::Tensor view_of(const VoxelBuffer& buffer, at::ScalarType type, at::IntArrayRef shape) {
  const auto values = buffer.as<T>();
  return at::from_blob(const_cast<T*>(values.data()), shape, type);
}

at::Tensor raw_tensor(const VoxelBuffer& raw, float centre) {
  const std::array<std::int64_t, 4> shape{raw.channels, raw.shape.z, raw.shape.y, raw.shape.x};
  if (raw.type == VoxelType::uint8) return view_of<std::uint8_t>(raw, at::kByte, shape);
  at::Tensor values = at::empty(shape, at::kFloat);
  with_voxel_type(raw.type, [&](auto zero) {
    const auto from = raw.as<decltype(zero)>();
    std::transform(from.begin(), from.end(), values.data_ptr<float>(),
                   [&](auto value) { return static_cast<float>(value) - centre; });
  });
  return values;
}

}  // namespace

std::int64_t DeviceSampler::bytes_of(const TrainingSet& data) {
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < data.count(); ++i) {
    const TrainingData::Held held = data.volume(i).held();
    bytes += held.raw.channels * volume_of(held.raw.shape) * (held.raw.type == VoxelType::uint8 ? 1 : 4);
    bytes += volume_of(held.classes.shape) * (held.border.bytes.empty() ? 1 : 5);
  }
  return bytes;
}

DeviceSampler::DeviceSampler(const SampleSource& source, const at::Device& device, KernelLauncher launch)
    : source_(source),
      device_(device),
      side_(source.options().tile_side),
      output_(source.geometry().output_side(side_)),
      channels_(source.data().volume(0).network_channels()),
      launch_(std::move(launch)) {
  const at::NoGradGuard no_grad;
  const at::OptionalDeviceGuard on_device(device_);
  for (std::size_t i = 0; i < source.data().count(); ++i) {
    const TrainingData& data = source.data().volume(i);
    const TrainingData::Held held = data.held();
    Volume volume;
    // Minus the mean: interpolating large values would lose precision.
    volume.centre = held.raw.type == VoxelType::uint8 ? 0 : static_cast<float>(data.mean());
    volume.raw = raw_tensor(held.raw, volume.centre).to(device_);
    const Index3 shape = held.classes.shape;
    const std::array<std::int64_t, 3> sides{shape.z, shape.y, shape.x};
    volume.classes = view_of<std::uint8_t>(held.classes, at::kByte, sides).to(device_);
    if (!held.border.bytes.empty())
      volume.border = view_of<float>(held.border, at::kFloat, sides).to(device_);
    volume.raw_grid = grid_of(held.raw_box);
    volume.label_grid = grid_of(held.label_box);
    volumes_.push_back(std::move(volume));
  }
  std::vector<double> basis;
  const std::vector<std::array<double, kWarpNodes>> nodes = node_weights(side_);
  const double middle = static_cast<double>(side_ - 1) / 2;
  for (std::int64_t i = 0; i < side_; ++i) {
    const auto& at_pixel = nodes[static_cast<std::size_t>(i)];
    basis.insert(basis.end(), at_pixel.begin(), at_pixel.end());
    basis.push_back(static_cast<double>(i) - middle);
    basis.push_back(1);
  }
  basis_ = at::tensor(basis, at::kDouble).view({side_, kBasis}).to(device_);
  basis_back_ = basis_.flip({0}).contiguous();
  for (const std::array<float, 4>& power : kCubicCoefficients)
    cubic_.push_back(
        at::tensor(at::ArrayRef<float>(power.data(), 4), at::kFloat).view({4, 1, 1, 1}).to(device_));
  taps_ = at::arange(-1, 3, at::kLong).view({4, 1, 1, 1}).to(device_);
  at::Tensor weights = at::zeros({256}, at::kFloat);
  std::copy(source.class_weights().begin(), source.class_weights().end(), weights.data_ptr<float>());
  class_weights_ = weights.to(device_);
  if (source.options().augmentation.noise > 0) {
    const std::int64_t values = channels_ * side_ * side_;
    noise_steps_ = at::arange(1, 2 * values + 1, at::kLong)
                       .view({values, 2})
                       .t()
                       .contiguous()
                       .mul_(static_cast<std::int64_t>(RandomStream::kStep))
                       .to(device_);
  }
}

DeviceSampler::Grid DeviceSampler::grid_of(const Box& box) const {
  const Index3 shape = box.shape();
  const std::array<std::int64_t, 2> last{shape.y - 1, shape.x - 1};
  const at::Tensor host = at::tensor(at::IntArrayRef(last), at::kLong).view({2, 1, 1});
  return {box, host.to(device_), (2 * host).clamp_min_(1).to(device_)};
}

at::Tensor DeviceSampler::to_device(const at::Tensor& host) const {
  // From pinned memory, so that the host does not wait for the copy.
  return device_.is_cpu() ? host : host.pin_memory().to(device_, true);
}

/// source_places() as sums of products of a function of the row and a function of the column.
DeviceSampler::WarpFactors DeviceSampler::factors_of(const SampleWarp& warp) const {
  static_assert(kBasis == 5);
  const double cosine = std::cos(warp.angle) / warp.scale, sine = std::sin(warp.angle) / warp.scale;
  const double middle = static_cast<double>(side_ - 1) / 2;
  WarpFactors factors;
  for (std::size_t i = 0; i < kWarpNodes; ++i) {
    for (std::size_t j = 0; j < kWarpNodes; ++j) {
      const Place& node = warp.nodes[i * kWarpNodes + j];
      factors.y[i][j] = node.y;
      factors.x[i][j] = node.x;
    }
  }
  constexpr std::size_t kFromMiddle = kWarpNodes, kOne = kFromMiddle + 1;
  factors.y[kFromMiddle][kOne] = cosine;
  factors.y[kOne][kFromMiddle] = sine;
  factors.y[kOne][kOne] = middle + warp.shift.y;
  factors.x[kFromMiddle][kOne] = -sine;
  factors.x[kOne][kFromMiddle] = cosine;
  factors.x[kOne][kOne] = middle + warp.shift.x;
  return factors;
}

SampleTensors DeviceSampler::make(std::span<const SampleRecipe> recipes) {
  const at::NoGradGuard no_grad;
  const at::OptionalDeviceGuard on_device(device_);
  const auto count = static_cast<std::int64_t>(recipes.size());
  const auto options = basis_.options().dtype(at::kFloat);
  SampleTensors made;
  made.input = at::empty({count, channels_, side_, side_}, options, at::MemoryFormat::ChannelsLast);
  made.classes = at::empty({count, output_, output_}, options.dtype(at::kLong));
  made.weights = at::empty({count, output_, output_}, options);
  for (std::int64_t i = 0; i < count; ++i) {
    const SampleRecipe& recipe = recipes[static_cast<std::size_t>(i)];
    const at::Tensor classes = made.classes.select(0, i), weights = made.weights.select(0, i);
    at::Tensor planes;
    if (has_kernels(recipe)) {
      planes = warped_input(recipe.draw, recipe.changes.symmetry);
      warp_targets(recipe.draw, recipe.changes.symmetry, classes, weights);
    } else {
      const at::Tensor from = places(recipe.draw, recipe.changes.symmetry);
      planes = cut_input(recipe.draw, recipe.changes.symmetry, from);
      cut_targets(recipe.draw, from, classes, weights);
    }
    change_greys(recipe, planes);
    made.input.select(0, i).copy_(planes);
  }
  return made;
}

}  // namespace tessera
