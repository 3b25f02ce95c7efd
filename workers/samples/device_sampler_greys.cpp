#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <numbers>

#include "workers/samples/device_sampler.h"

namespace tessera {
namespace {

/// Logical shift right.
at::Tensor shifted_right(const at::Tensor& bits, int by) {
  return at::bitwise_right_shift(bits, by).bitwise_and_((std::int64_t{1} << (64 - by)) - 1);
}

/// mix_bits of each element.
at::Tensor mixed_bits(at::Tensor x) {
  x = shifted_right(x, 30).bitwise_xor_(x).mul_(static_cast<std::int64_t>(0xBF58476D1CE4E5B9ULL));
  x = shifted_right(x, 27).bitwise_xor_(x).mul_(static_cast<std::int64_t>(0x94D049BB133111EBULL));
  return shifted_right(x, 31).bitwise_xor_(x);
}

}  // namespace

void DeviceSampler::add_noise(const SampleChanges& changes, at::Tensor& planes) const {
  const at::Tensor bits = mixed_bits(noise_steps_ + static_cast<std::int64_t>(changes.noise_stream.state()));
  const at::Tensor uniform = shifted_right(bits, 11).to(at::kDouble).mul_(0x1.0p-53);
  const at::Tensor radius = uniform.select(0, 0).neg().add_(1).to(at::kFloat).log_().mul_(-2).sqrt_();
  const at::Tensor cosine = uniform.select(0, 1).mul(2 * std::numbers::pi).to(at::kFloat).cos_();
  planes.view(-1).addcmul_(radius, cosine, changes.noise);
}

void DeviceSampler::change_greys(const SampleRecipe& recipe, at::Tensor& planes) const {
  const SampleChanges& changes = recipe.changes;
  const std::int64_t sections = 2 * source_.data().volume(recipe.draw.volume).options().context + 1;
  const auto change_sections = [&](const std::vector<std::uint8_t>& which, const auto& change) {
    if (which.empty()) return;
    for (std::int64_t c = 0; c < channels_; ++c) {
      at::Tensor plane = planes.select(0, c);
      if (which[static_cast<std::size_t>(c % sections)] != 0) change(plane);
    }
  };
  if (changes.factor != 1) planes.mul_(changes.factor);
  if (changes.offset != 0) planes.add_(changes.offset);
  if (changes.gamma > 0) {
    const at::Tensor low = planes.min(), range = planes.max() - low;
    // A constant sample stays unchanged: its range is 0.
    planes.sub_(low).div_(at::where(range > 0, range, at::ones_like(range)));
    planes.pow_(changes.gamma).mul_(range).add_(low);
  }
  if (changes.blur > 0) {
    const std::vector<float> matrix = blur_matrix(changes.blur, side_);
    const at::Tensor blur = to_device(at::tensor(matrix, at::kFloat).view({side_, side_}));
    planes = at::matmul(at::matmul(blur, planes), blur.t());
  }
  change_sections(changes.low_contrast, [](at::Tensor& plane) {
    const at::Tensor mean = plane.mean(at::kDouble).to(at::kFloat);
    plane.sub_(mean).mul_(kLowContrast).add_(mean);
  });
  if (changes.noise > 0) add_noise(changes, planes);
  const Normalisation& normalisation = source_.normalisation_of(recipe.draw.volume);
  const auto black = static_cast<float>(-normalisation.mean / normalisation.std);
  change_sections(changes.missing, [&](at::Tensor& plane) { plane.fill_(black); });
}

}  // namespace tessera
