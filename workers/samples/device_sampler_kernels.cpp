// The pixels of samples by the kernels of sample_kernels.cu.

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <array>

#include "io/geometry/mirror.h"
#include "workers/device/out_of_memory.h"
#include "workers/samples/device_sampler.h"
#include "workers/samples/line_order.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

/// The shape of a held section and the position of a sample's first pixel in it; the layout of
/// sample_kernels.cu.
struct HeldPixels {
  int height, width, first_y, first_x;
};
HeldPixels held_pixels(const Index3& shape, std::int64_t first_y, std::int64_t first_x) {
  return {static_cast<int>(shape.y), static_cast<int>(shape.x), static_cast<int>(first_y),
          static_cast<int>(first_x)};
}

}  // namespace

at::Tensor DeviceSampler::warped_input(const SampleDraw& draw, const Symmetry& symmetry) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const Normalisation& normalisation = source_.normalisation_of(draw.volume);
  const std::int64_t context = data.options().context, sections = 2 * context + 1,
                     lost = (side_ - output_) / 2;
  const Index3 held = volume.raw_grid.box.begin, shape = volume.raw_grid.box.shape();
  const LineOrder order(symmetry);
  const at::Tensor planes = at::empty({channels_, side_, side_}, basis_.options().dtype(at::kFloat));
  for (std::int64_t c = 0; c < channels_; ++c) {
    const auto& shifts = draw.warp.section_shifts;
    std::array<std::int64_t, 2> shift{0, 0};
    if (!shifts.empty()) shift = shifts[static_cast<std::size_t>(c % sections)];
    const std::int64_t z = mirror_index(draw.at.z - context + c % sections, data.raw_info().shape.z) - held.z;
    const void* const plane = volume.raw.select(0, c / sections).select(0, z).data_ptr();
    const bool bytes = volume.raw.scalar_type() == at::kByte;
    start_kernel(
        launch_, {.name = "tessera_bend_input", .blocks_x = blocks_for(side_ * side_)},
        bytes ? plane : nullptr, bytes ? nullptr : plane,
        held_pixels(shape, draw.at.y - lost - held.y + shift[0], draw.at.x - lost - held.x + shift[1]),
        (order.y_back ? basis_back_ : basis_).data_ptr(), (order.x_back ? basis_back_ : basis_).data_ptr(),
        factors_of(draw.warp), static_cast<int>(order.swapped), static_cast<int>(side_),
        static_cast<float>(normalisation.mean) - volume.centre, static_cast<float>(1 / normalisation.std),
        planes.select(0, c).data_ptr());
  }
  return planes;
}

void DeviceSampler::warp_targets(const SampleDraw& draw, const Symmetry& symmetry, const at::Tensor& classes,
                                 const at::Tensor& weights) const {
  const TrainingData& data = source_.data().volume(draw.volume);
  const Volume& volume = volumes_[draw.volume];
  const std::int64_t lost = (side_ - output_) / 2;
  const Index3 first = draw.at - Index3{0, lost, lost} - volume.label_grid.box.begin,
               shape = volume.label_grid.box.shape();
  const LineOrder order(symmetry);
  start_kernel(launch_, {.name = "tessera_bend_targets", .blocks_x = blocks_for(output_ * output_)},
               volume.classes.select(0, first.z).data_ptr(),
               volume.border.defined() ? volume.border.select(0, first.z).data_ptr() : nullptr,
               class_weights_.data_ptr(), held_pixels(shape, first.y, first.x),
               (order.y_back ? basis_back_ : basis_).data_ptr(),
               (order.x_back ? basis_back_ : basis_).data_ptr(), factors_of(draw.warp),
               static_cast<int>(order.swapped), static_cast<int>(output_), static_cast<int>(lost),
               static_cast<int>(data.options().region.has_value()), static_cast<int>(kIgnoredClass),
               classes.data_ptr(), weights.data_ptr());
}

bool DeviceSampler::has_kernels(const SampleRecipe& recipe) {
  if (!launch_ || launched_) return static_cast<bool>(launch_);
  try {
    warped_input(recipe.draw, recipe.changes.symmetry);
    launched_ = true;
  } catch (const c10::Error& error) {  // the launcher has logged the reason
    if (says_out_of_memory(error)) throw;
    launch_ = {};
  }
  return launched_;
}

}  // namespace tessera
