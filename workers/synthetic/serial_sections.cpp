#include "workers/synthetic/serial_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "io/base/error.h"
#include "workers/synthetic/cell_diagram.h"
#include "workers/synthetic/organelles.h"
#include "workers/synthetic/smooth_noise.h"

namespace tessera {
namespace {

enum SectionStream : std::uint64_t {
  kContrast = 300,
  kThickness,
  kDensity,
  kFineGrain,
  kGrain,
  kCoarseGrain,
  kLight,
  kShot,
  kSectionTone,
  kCellTone
};

constexpr std::int64_t kMargin = 3;  ///< pixels around the section that the blur reads

/// How bright a cell's cytoplasm is, relative to the others.
float cell_tone(std::uint64_t seed, std::uint64_t cell) {
  const std::uint64_t h = hash_of(seed, kCellTone, static_cast<std::int64_t>(cell), 0, 0);
  const double u = uniform_of(h);
  if (u < 0.10) return -38;  // dark cells
  return static_cast<float>((u - 0.55) * 26);
}

/// Gaussian blur with standard deviation 0.8 px. The outer kMargin pixels of the result are not valid.
void blur(std::vector<float>& values, [[maybe_unused]] std::int64_t height, std::int64_t width) {
  constexpr std::array<float, 3> kWeights{0.4968F, 0.2275F, 0.0241F};
  std::vector<float> half(values.size());
  const auto pass = [&](const std::vector<float>& from, std::vector<float>& to, std::int64_t stride) {
    const std::int64_t last = std::ssize(from) - 2 * stride;
    for (std::int64_t i = 2 * stride; i < last; ++i) {
      const float* v = from.data() + i;
      to[static_cast<std::size_t>(i)] = kWeights[0] * v[0] + kWeights[1] * (v[-stride] + v[stride]) +
                                        kWeights[2] * (v[-2 * stride] + v[2 * stride]);
    }
  };
  assert(height > 4 && width > 4);
  pass(values, half, 1);
  pass(half, values, width);
}

}  // namespace

SerialSections::SerialSections(const SerialSectionsOptions& options) : options_(options) {
  for (int axis = 0; axis < 3; ++axis) {
    if (options.shape[axis] < 1) throw UsageError("a synthetic stack needs a shape of at least (1, 1, 1)");
  }
  if (!(options.cell_size_px >= 16 && options.cell_size_px <= 2000)) {
    throw UsageError(fmt::format("a cell size of {} px is not in 16 to 2000", options.cell_size_px));
  }
}

SerialSection SerialSections::section(std::int64_t z) const {
  assert(z >= 0 && z < options_.shape.z);
  const std::uint64_t seed = options_.seed;
  const std::int64_t height = options_.shape.y, width = options_.shape.x;
  const SectionWindow window{-kMargin, -kMargin, height + 2 * kMargin, width + 2 * kMargin};
  const auto at_z = static_cast<double>(z);
  const auto noise = [&](SectionStream stream, double wavelength_px, double wavelength_sections) {
    return smooth_noise(seed, stream, window, at_z, wavelength_px, wavelength_sections);
  };
  const CellDiagram diagram(seed, options_.cell_size_px, z, window);
  const std::vector<CellPlace>& places = diagram.places();
  const std::vector<float> thickness = noise(kThickness, 40, 3), contrast = noise(kContrast, 30, 2);
  const std::vector<float> density = noise(kDensity, 45, 3);
  const std::vector<float> fine = noise(kFineGrain, 3.5, 1), grain = noise(kGrain, 7, 1),
                           coarse = noise(kCoarseGrain, 20, 2);

  std::vector<float> half_width(places.size()), value(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const CellPlace& place = places[i];
    half_width[i] = std::clamp(1.95F + 0.3F * thickness[i], 1.5F, 2.5F);  // membranes 3 to 5 px thick
    value[i] = 163 + cell_tone(seed, place.cell) + 12 * fine[i] + 10 * grain[i] + 6 * coarse[i];
  }
  paint_organelles(seed, z, window, places, value);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const CellPlace& place = places[i];
    // The contrast varies along a membrane. It almost vanishes where it is low or the membrane is oblique.
    const float strength =
        std::clamp(0.82F + 0.32F * contrast[i], 0.15F, 1.2F) * (1 - 0.5F * place.obliqueness);
    const float reach = place.distance_px / half_width[i];
    value[i] -= 105 * strength * std::exp(-0.65F * reach * reach);
    // A synapse: dense material on one side of the membrane, wider than the membrane.
    if (density[i] > 1.25F && place.cell < place.neighbour) {
      const float dense = std::min((density[i] - 1.25F) * 2.5F, 1.0F);
      value[i] -= 70 * dense * std::exp(-place.distance_px * place.distance_px / 60);
    }
    value[i] = std::max(value[i], 22 + 5 * fine[i]);
  }
  blur(value, window.height, window.width);

  SerialSection made;
  const auto pixels = static_cast<std::size_t>(height * width);
  made.raw.resize(pixels);
  made.cells.resize(pixels);
  made.instances.resize(pixels);
  const std::vector<float> light = noise(kLight, 300, 1);
  const float gain = 1 + 0.08F * normal_of(hash_of(seed, kSectionTone, z, 0, 0));
  const float shift = 8 * normal_of(hash_of(seed, kSectionTone, z, 1, 0));
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const auto from = static_cast<std::size_t>((y + kMargin) * window.width + x + kMargin);
      const auto to = static_cast<std::size_t>(y * width + x);
      const float shot = 10 * normal_of(hash_of(seed, kShot, z, y, x));
      const float grey = 128 + gain * (value[from] - 128) + shift + 5 * light[from] + shot;
      made.raw[to] = static_cast<std::uint8_t>(std::lround(std::clamp(grey, 0.0F, 255.0F)));
      const bool inside = places[from].distance_px > half_width[from];
      made.cells[to] = inside ? 255 : 0;
      made.instances[to] = inside ? places[from].cell : 0;
    }
  }
  return made;
}

}  // namespace tessera
