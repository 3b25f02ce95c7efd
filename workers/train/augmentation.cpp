#include "workers/train/augmentation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <span>
#include <utility>

#include "io/mirror.h"

namespace tessera {
namespace {

/// Of a section of low contrast: as gunpowder's DefectAugment has it.
constexpr float kLowContrast = 0.1F;

std::span<float> plane_of(Sample& sample, std::int64_t channel) {
  const auto plane = static_cast<std::size_t>(sample.input_side * sample.input_side);
  return std::span(sample.input).subspan(static_cast<std::size_t>(channel) * plane, plane);
}

/// Calls `change` with every channel's plane of a section.
template <class Change>
void change_section(Sample& sample, std::int64_t section, const Change& change) {
  for (std::int64_t c = section; c < sample.channels; c += sample.sections)
    change(plane_of(sample, c));
}

void apply_gamma(double exponent, std::vector<float>& values) {
  const auto [low, high] = std::ranges::minmax(values);
  const float least = low, range = high - low;
  if (range <= 0) return;
  for (float& value : values)
    value = least + range * std::pow((value - least) / range, static_cast<float>(exponent));
}

/// Gaussian, cut off at 4 standard deviations, mirrored beyond the rim (scipy.ndimage's gaussian_filter, mode
/// mirror).
void blur(double sigma, std::int64_t side, std::span<float> plane) {
  const auto reach = static_cast<std::int64_t>(4 * sigma + 0.5);
  if (reach == 0) return;
  std::vector<double> kernel;
  for (std::int64_t i = -reach; i <= reach; ++i) {
    kernel.push_back(std::exp(-0.5 * static_cast<double>(i * i) / (sigma * sigma)));
  }
  const double total = std::accumulate(kernel.begin(), kernel.end(), 0.0);
  std::vector<float> line(static_cast<std::size_t>(side + 2 * reach));
  for (const auto& [step, next] : {std::pair{std::int64_t{1}, side}, std::pair{side, std::int64_t{1}}}) {
    for (std::int64_t l = 0; l < side; ++l) {
      for (std::int64_t i = -reach; i < side + reach; ++i) {
        line[static_cast<std::size_t>(i + reach)] =
            plane[static_cast<std::size_t>(l * next + mirror_index(i, side) * step)];
      }
      for (std::int64_t i = 0; i < side; ++i) {
        double sum = 0;
        for (std::size_t k = 0; k < kernel.size(); ++k)
          sum += kernel[k] * static_cast<double>(line[static_cast<std::size_t>(i) + k]);
        plane[static_cast<std::size_t>(l * next + i * step)] = static_cast<float>(sum / total);
      }
    }
  }
}

void lower_contrast(Sample& sample, const AugmentationOptions& options, RandomStream& random) {
  if (options.low_contrast_section <= 0) return;
  for (std::int64_t s = 0; s < sample.sections; ++s) {
    if (random.uniform() >= options.low_contrast_section) continue;
    change_section(sample, s, [](std::span<float> plane) {
      const double sum = std::accumulate(plane.begin(), plane.end(), 0.0);
      const auto mean = static_cast<float>(sum / static_cast<double>(plane.size()));
      for (float& value : plane)
        value = mean + kLowContrast * (value - mean);
    });
  }
}

void lose_sections(Sample& sample, const AugmentationOptions& options, RandomStream& random) {
  if (options.missing_section <= 0) return;
  for (std::int64_t s = 0; s < sample.sections; ++s) {
    if (random.uniform() >= options.missing_section || s == sample.sections / 2) continue;
    change_section(sample, s, [&](std::span<float> plane) { std::ranges::fill(plane, sample.black); });
  }
}

}  // namespace

SampleWarp draw_warp(const AugmentationOptions& options, std::int64_t sections, RandomStream& random) {
  SampleWarp warp;
  if (options.rotation > 0) {
    warp.angle = random.uniform(-options.rotation, options.rotation) * std::numbers::pi / 180;
  }
  if (options.scaling > 0) warp.scale = 1 + random.uniform(-options.scaling, options.scaling);
  if (options.shift > 0) {
    warp.shift.y = random.uniform(-options.shift, options.shift);
    warp.shift.x = random.uniform(-options.shift, options.shift);
  }
  if (options.elastic > 0) {
    for (Place& node : warp.nodes) {
      node.y = options.elastic * random.normal();
      node.x = options.elastic * random.normal();
    }
  }
  if (options.misaligned_section > 0 && sections > 1) {
    for (std::int64_t s = 0; s < sections; ++s) {
      const bool moved = random.uniform() < options.misaligned_section && s != sections / 2;
      const std::int64_t y = random.integer(-options.misalignment, options.misalignment);
      const std::int64_t x = random.integer(-options.misalignment, options.misalignment);
      warp.section_shifts.push_back(moved ? std::array{y, x} : std::array<std::int64_t, 2>{0, 0});
    }
  }
  return warp;
}

void augment(Sample& sample, const AugmentationOptions& options, RandomStream& random) {
  Symmetry symmetry;
  symmetry.quarter_turns = options.rotate ? static_cast<int>(random.integer(0, 3)) : 0;
  symmetry.mirrored = options.mirror && random.integer(0, 1) == 1;
  std::vector<float> scratch;
  for (std::int64_t c = 0; c < sample.channels; ++c) {
    apply_symmetry(symmetry, sample.input_side,
                   sample.input.data() + c * sample.input_side * sample.input_side, scratch);
  }
  std::vector<std::uint8_t> class_scratch;
  apply_symmetry(symmetry, sample.output_side, sample.classes.data(), class_scratch);
  if (!sample.border.empty()) apply_symmetry(symmetry, sample.output_side, sample.border.data(), scratch);

  const auto factor = static_cast<float>(1 + random.uniform(-options.contrast, options.contrast));
  const auto offset = static_cast<float>(random.uniform(-options.brightness, options.brightness));
  for (float& value : sample.input)
    value = value * factor + offset;
  if (options.gamma > 0) apply_gamma(std::exp(random.uniform(-options.gamma, options.gamma)), sample.input);
  if (options.blur > 0) {
    const double sigma = random.uniform(0, options.blur);
    for (std::int64_t c = 0; c < sample.channels; ++c)
      blur(sigma, sample.input_side, plane_of(sample, c));
  }
  lower_contrast(sample, options, random);
  const auto noise = static_cast<float>(options.noise);
  if (noise > 0) {
    for (float& value : sample.input)
      value += noise * static_cast<float>(random.normal());
  }
  lose_sections(sample, options, random);
}

}  // namespace tessera
