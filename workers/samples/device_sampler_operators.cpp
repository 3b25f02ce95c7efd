// The pixels of samples by LibTorch's operators: on the CPU, and on devices without the kernels.

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <array>

#include "io/geometry/mirror.h"
#include "workers/samples/device_sampler.h"
#include "workers/samples/line_order.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

/// Pixels that are interpolated together, each from 16 neighbours: bounds the memory of the interpolation.
constexpr std::int64_t kStrip = std::int64_t{1} << 19;

/// mirror_index of integers, (..., 2, h, w) for y and x.
at::Tensor mirrored(const at::Tensor& places, const at::Tensor& last, const at::Tensor& period) {
  return last - (places.remainder(period) - last).abs_();
}

}  // namespace

/// The source positions of the sample's pixels, relative to its first input pixel, (2, side, side), with the
/// symmetry applied.
at::Tensor DeviceSampler::places(const SampleDraw& draw, const Symmetry& symmetry) const {
  WarpFactors held = factors_of(draw.warp);
  const at::Tensor factors = at::from_blob(&held, {2, kBasis, kBasis}, at::kDouble).clone();
  const LineOrder order(symmetry);
  const at::Tensor &down = order.y_back ? basis_back_ : basis_, &across = order.x_back ? basis_back_ : basis_;
  if (order.swapped) return at::matmul(at::matmul(across, to_device(factors).transpose(1, 2)), down.t());
  return at::matmul(at::matmul(down, to_device(factors)), across.t());
}

/// Bicubic interpolation in strips. `planes`: (channels, side, side) float32.
void DeviceSampler::interpolate(const SampleDraw& draw, const at::Tensor& places, at::Tensor& planes) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const std::int64_t context = data.options().context, sections = 2 * context + 1;
  const std::int64_t lost = (side_ - output_) / 2, width = volume.raw.size(3);
  const Index3 held = volume.raw_grid.box.begin;
  const Index3 first = draw.at - Index3{0, lost, lost} - held;
  const std::int64_t strip = std::max<std::int64_t>(1, kStrip / side_);
  for (std::int64_t row = 0; row < side_; row += strip) {
    const std::int64_t rows = std::min(strip, side_ - row);
    const at::Tensor here = places.narrow(1, row, rows), whole = here.floor();
    const at::Tensor t = (here - whole).to(at::kFloat);
    // (4, 2, rows, side): of the four neighbours along y and x.
    at::Tensor weights = at::addcmul(cubic_[1], cubic_[0], t);
    for (std::size_t power = 2; power < cubic_.size(); ++power)
      weights = at::addcmul(cubic_[power], weights, t);
    const at::Tensor down = weights.select(1, 0).unsqueeze(1), across = weights.select(1, 1).unsqueeze(0);
    at::Tensor index;  // (4, 4, rows, side)
    const auto look_up = [&](std::int64_t y, std::int64_t x) {
      at::Tensor pixels = whole.to(at::kLong);
      pixels.select(0, 0).add_(first.y + y);
      pixels.select(0, 1).add_(first.x + x);
      pixels = mirrored(taps_ + pixels, volume.raw_grid.last, volume.raw_grid.period);
      index = at::add(pixels.select(1, 1).unsqueeze(0), pixels.select(1, 0).unsqueeze(1), width);
    };
    for (std::int64_t c = 0; c < channels_; ++c) {
      const auto& shifts = draw.warp.section_shifts;
      if (!shifts.empty()) {
        look_up(shifts[static_cast<std::size_t>(c % sections)][0],
                shifts[static_cast<std::size_t>(c % sections)][1]);
      } else if (!index.defined()) {
        look_up(0, 0);
      }
      const std::int64_t z =
          mirror_index(draw.at.z - context + c % sections, data.raw_info().shape.z) - held.z;
      const at::Tensor values = volume.raw.select(0, c / sections).select(0, z).take(index);
      at::Tensor result = planes.select(0, c).narrow(0, row, rows);
      at::sum_out(result, (values * across).sum(1).mul_(down.squeeze(1)), {0});
    }
  }
}

/// (channels, side, side) float32, normalised, before the changes of grey values.
at::Tensor DeviceSampler::cut_input(const SampleDraw& draw, const Symmetry& symmetry,
                                    const at::Tensor& places) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  at::Tensor planes = at::empty({channels_, side_, side_}, basis_.options().dtype(at::kFloat));
  if (!draw.warp.is_identity()) {
    interpolate(draw, places, planes);
  } else {
    const std::int64_t context = data.options().context, sections = 2 * context + 1;
    const std::int64_t lost = (side_ - output_) / 2;
    const Index3 held = volume.raw_grid.box.begin, first = draw.at - Index3{0, lost, lost} - held;
    const LineOrder order(symmetry);
    const auto line = [&](std::int64_t begin, bool back, std::int64_t axis) {
      at::Tensor pixels = at::arange(begin, begin + side_, volume.raw_grid.last.options());
      if (back) pixels = pixels.flip({0});
      return mirrored(pixels, volume.raw_grid.last.select(0, axis).squeeze(1),
                      volume.raw_grid.period.select(0, axis).squeeze(1));
    };
    const at::Tensor rows = line(first.y, order.y_back, 0), columns = line(first.x, order.x_back, 1);
    for (std::int64_t c = 0; c < channels_; ++c) {
      const std::int64_t z =
          mirror_index(draw.at.z - context + c % sections, data.raw_info().shape.z) - held.z;
      const at::Tensor plane = volume.raw.select(0, c / sections).select(0, z);
      const at::Tensor cut = plane.index_select(0, rows).index_select(1, columns);
      planes.select(0, c).copy_(order.swapped ? cut.t() : cut);
    }
  }
  const Normalisation& normalisation = source_.normalisation_of(draw.volume);
  return planes.sub_(static_cast<float>(normalisation.mean) - volume.centre)
      .mul_(static_cast<float>(1 / normalisation.std));
}

/// Writes `classes`, (output, output) int64, and `weights`, likewise float32.
void DeviceSampler::cut_targets(const SampleDraw& draw, const at::Tensor& places, const at::Tensor& classes,
                                at::Tensor weights) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const std::int64_t lost = (side_ - output_) / 2;
  const Index3 first = draw.at - Index3{0, lost, lost} - volume.label_grid.box.begin;
  at::Tensor pixels =
      places.narrow(1, lost, output_).narrow(2, lost, output_).add(0.5).floor_().to(at::kLong);
  pixels.select(0, 0).add_(first.y);
  pixels.select(0, 1).add_(first.x);
  at::Tensor known = mirrored(pixels, volume.label_grid.last, volume.label_grid.period);
  const at::Tensor index = at::add(known.select(0, 1), known.select(0, 0), volume.classes.size(2));
  classes.copy_(volume.classes.select(0, first.z).take(index));
  // Pixels beyond a region are ignored, not mirrored.
  if (data.options().region) classes.masked_fill_(pixels.ne(known).any(0), kIgnoredClass);
  at::take_out(weights, class_weights_, classes);
  if (volume.border.defined()) {
    weights.addcmul_(volume.border.select(0, first.z).take(index), classes.ne(kIgnoredClass));
  }
}

}  // namespace tessera
