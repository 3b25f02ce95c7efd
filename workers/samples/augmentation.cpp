#include "workers/samples/augmentation.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <span>
#include <utility>

#include "io/geometry/mirror.h"

namespace tessera {
namespace {

std::span<float> plane_of(Sample& sample, std::int64_t channel) {
  const auto plane = static_cast<std::size_t>(sample.input_side * sample.input_side);
  return std::span(sample.input).subspan(static_cast<std::size_t>(channel) * plane, plane);
}

/// Calls `change` with the plane of each channel of a section.
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

/// Weights of the pixels from -reach to reach, whose sum is `total`.
struct BlurKernel {
  std::int64_t reach;
  std::vector<double> weights;
  double total;

  explicit BlurKernel(double sigma) : reach(static_cast<std::int64_t>(4 * sigma + 0.5)) {
    for (std::int64_t i = -reach; i <= reach; ++i)
      weights.push_back(sigma > 0 ? std::exp(-0.5 * static_cast<double>(i * i) / (sigma * sigma)) : 1);
    total = std::accumulate(weights.begin(), weights.end(), 0.0);
  }
};

void blur(double sigma, std::int64_t side, std::span<float> plane) {
  const BlurKernel kernel(sigma);
  const std::int64_t reach = kernel.reach;
  if (reach == 0) return;
  std::vector<float> line(static_cast<std::size_t>(side + 2 * reach));
  for (const auto& [step, next] : {std::pair{std::int64_t{1}, side}, std::pair{side, std::int64_t{1}}}) {
    for (std::int64_t l = 0; l < side; ++l) {
      for (std::int64_t i = -reach; i < side + reach; ++i) {
        line[static_cast<std::size_t>(i + reach)] =
            plane[static_cast<std::size_t>(l * next + mirror_index(i, side) * step)];
      }
      for (std::int64_t i = 0; i < side; ++i) {
        double sum = 0;
        for (std::size_t k = 0; k < kernel.weights.size(); ++k)
          sum += kernel.weights[k] * static_cast<double>(line[static_cast<std::size_t>(i) + k]);
        plane[static_cast<std::size_t>(l * next + i * step)] = static_cast<float>(sum / kernel.total);
      }
    }
  }
}

void lower_contrast(std::span<float> plane) {
  const double sum = std::accumulate(plane.begin(), plane.end(), 0.0);
  const auto mean = static_cast<float>(sum / static_cast<double>(plane.size()));
  for (float& value : plane)
    value = mean + kLowContrast * (value - mean);
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

SampleChanges draw_changes(const AugmentationOptions& options, std::int64_t sections, std::int64_t values,
                           RandomStream& random) {
  SampleChanges changes;
  changes.symmetry.quarter_turns = options.rotate ? static_cast<int>(random.integer(0, 3)) : 0;
  changes.symmetry.mirrored = options.mirror && random.integer(0, 1) == 1;
  changes.factor = static_cast<float>(1 + random.uniform(-options.contrast, options.contrast));
  changes.offset = static_cast<float>(random.uniform(-options.brightness, options.brightness));
  if (options.gamma > 0) changes.gamma = std::exp(random.uniform(-options.gamma, options.gamma));
  if (options.blur > 0) changes.blur = random.uniform(0, options.blur);
  for (std::int64_t s = 0; options.low_contrast_section > 0 && s < sections; ++s)
    changes.low_contrast.push_back(random.uniform() < options.low_contrast_section ? 1 : 0);
  changes.noise = static_cast<float>(options.noise);
  if (changes.noise > 0) {
    changes.noise_stream = random;
    random.skip(2 * static_cast<std::uint64_t>(values));
  }
  for (std::int64_t s = 0; options.missing_section > 0 && s < sections; ++s) {
    const bool hit = random.uniform() < options.missing_section;
    changes.missing.push_back(hit && s != sections / 2 ? 1 : 0);
  }
  return changes;
}

void apply_changes(const SampleChanges& changes, Sample& sample) {
  std::vector<float> scratch;
  for (std::int64_t c = 0; c < sample.channels; ++c) {
    apply_symmetry(changes.symmetry, sample.input_side,
                   sample.input.data() + c * sample.input_side * sample.input_side, scratch);
  }
  std::vector<std::uint8_t> class_scratch;
  apply_symmetry(changes.symmetry, sample.output_side, sample.classes.data(), class_scratch);
  if (!sample.border.empty())
    apply_symmetry(changes.symmetry, sample.output_side, sample.border.data(), scratch);

  for (float& value : sample.input)
    value = value * changes.factor + changes.offset;
  if (changes.gamma > 0) apply_gamma(changes.gamma, sample.input);
  if (changes.blur > 0) {
    for (std::int64_t c = 0; c < sample.channels; ++c)
      blur(changes.blur, sample.input_side, plane_of(sample, c));
  }
  for (std::size_t s = 0; s < changes.low_contrast.size(); ++s) {
    if (changes.low_contrast[s] != 0) change_section(sample, static_cast<std::int64_t>(s), lower_contrast);
  }
  if (changes.noise > 0) {
    RandomStream random = changes.noise_stream;
    for (float& value : sample.input)
      value += changes.noise * static_cast<float>(random.normal());
  }
  for (std::size_t s = 0; s < changes.missing.size(); ++s) {
    if (changes.missing[s] == 0) continue;
    change_section(sample, static_cast<std::int64_t>(s),
                   [&](std::span<float> plane) { std::ranges::fill(plane, sample.black); });
  }
}

void augment(Sample& sample, const AugmentationOptions& options, RandomStream& random) {
  apply_changes(
      draw_changes(options, sample.sections, static_cast<std::int64_t>(sample.input.size()), random), sample);
}

std::vector<float> blur_matrix(double sigma, std::int64_t side) {
  const BlurKernel kernel(sigma);
  std::vector<float> matrix(static_cast<std::size_t>(side * side));
  for (std::int64_t row = 0; row < side; ++row) {
    std::size_t k = 0;
    for (std::int64_t i = row - kernel.reach; i <= row + kernel.reach; ++i, ++k) {
      matrix[static_cast<std::size_t>(row * side + mirror_index(i, side))] +=
          static_cast<float>(kernel.weights[k] / kernel.total);
    }
  }
  return matrix;
}

}  // namespace tessera
