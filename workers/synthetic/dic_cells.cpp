#include "workers/synthetic/dic_cells.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "workers/synthetic/cell_diagram.h"
#include "workers/synthetic/smooth_noise.h"

namespace tessera {
namespace {

enum DicStream : std::uint64_t {
  kPresence = 400,
  kThicknessOfCell,
  kOrganelle,
  kWrinkle,
  kShade,
  kFrameTone,
  kFrameShot
};

constexpr std::int64_t kDicMargin = 1;  ///< pixels around the frame that the gradient reads
constexpr double kEmptyShare = 0.25;    ///< of the cells of the diagram: background
constexpr float kEdgePx = 5;            ///< a cell's thickness rises over about this distance from its edge
constexpr float kBorderPx = 0.75F;      ///< closer to its edge a pixel is background

bool is_present(std::uint64_t seed, std::uint64_t cell) {
  return uniform_of(hash_of(seed, kPresence, static_cast<std::int64_t>(cell), 0, 0)) >= kEmptyShare;
}

/// The optical thickness of the cells over the window.
std::vector<float> optical_thickness(std::uint64_t seed, std::int64_t frame, const SectionWindow& window,
                                     const std::vector<CellPlace>& places) {
  const auto at = static_cast<double>(frame);
  const std::vector<float> organelles = smooth_noise(seed, kOrganelle, window, at, 6, 1.5);
  const std::vector<float> wrinkles = smooth_noise(seed, kWrinkle, window, at, 24, 4);
  std::vector<float> thickness(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const CellPlace& place = places[i];
    if (!is_present(seed, place.cell)) continue;
    const auto cell = static_cast<std::int64_t>(place.cell);
    const auto height = static_cast<float>(60 + 50 * uniform_of(hash_of(seed, kThicknessOfCell, cell, 0, 0)));
    const float dome = 1 - std::exp(-place.distance_px / kEdgePx);
    thickness[i] = height * dome * (1 + 0.12F * wrinkles[i]) + 5 * dome * organelles[i];
  }
  return thickness;
}

}  // namespace

DicCells::DicCells(const SerialSectionsOptions& options) : options_(SerialSections(options).options()) {}

SerialSection DicCells::section(std::int64_t frame) const {
  assert(frame >= 0 && frame < options_.shape.z);
  const std::uint64_t seed = options_.seed;
  const std::int64_t height = options_.shape.y, width = options_.shape.x;
  const SectionWindow window{-kDicMargin, -kDicMargin, height + 2 * kDicMargin, width + 2 * kDicMargin};
  const CellDiagram diagram(seed, options_.cell_size_px, frame, window);
  const std::vector<CellPlace>& places = diagram.places();
  const std::vector<float> thickness = optical_thickness(seed, frame, window, places);
  const std::vector<float> shade = smooth_noise(seed, kShade, window, static_cast<double>(frame), 400, 20);
  const float tone = 120 + 5 * normal_of(hash_of(seed, kFrameTone, frame, 0, 0));

  SerialSection made;
  const auto pixels = static_cast<std::size_t>(height * width);
  made.raw.resize(pixels);
  made.cells.resize(pixels);
  made.instances.resize(pixels);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const auto from = static_cast<std::size_t>((y + kDicMargin) * window.width + x + kDicMargin);
      const auto to = static_cast<std::size_t>(y * width + x);
      // The shear of the microscope's prisms: the slope of the thickness from the upper left to the lower
      // right.
      const auto step = static_cast<std::size_t>(window.width + 1);
      const float slope = (thickness[from + step] - thickness[from - step]) / 2;
      const float shot = 4 * normal_of(hash_of(seed, kFrameShot, frame, y, x));
      const float grey = tone + 6 * shade[from] + 4 * slope + shot;
      made.raw[to] = static_cast<std::uint8_t>(std::lround(std::clamp(grey, 0.0F, 255.0F)));
      const bool inside = is_present(seed, places[from].cell) && places[from].distance_px > kBorderPx;
      made.cells[to] = inside ? 255 : 0;
      made.instances[to] = inside ? places[from].cell : 0;
    }
  }
  return made;
}

}  // namespace tessera
