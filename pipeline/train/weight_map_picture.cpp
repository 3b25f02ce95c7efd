#include "pipeline/train/weight_map_picture.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "io/images/png.h"
#include "pipeline/run/overlay.h"
#include "workers/samples/pixel_weights.h"

namespace tessera {
namespace {

using Colour = std::array<double, 3>;

/// Black, blue, orange (Okabe and Ito's palette), white: increasing lightness.
constexpr std::array<Colour, 4> kColours{Colour{0, 0, 0}, Colour{0, 114, 178}, Colour{230, 159, 0},
                                         Colour{255, 255, 255}};

/// `share` is in [0, 1].
void append_colour(double share, std::vector<std::uint8_t>& pixels) {
  const double place = std::clamp(share, 0.0, 1.0) * (kColours.size() - 1);
  const auto first = std::min(static_cast<std::size_t>(place), kColours.size() - 2);
  const double rest = place - static_cast<double>(first);
  for (std::size_t i = 0; i < 3; ++i) {
    const double value = (1 - rest) * kColours[first][i] + rest * kColours[first + 1][i];
    pixels.push_back(static_cast<std::uint8_t>(std::lround(value)));
  }
}

void append_grey(std::uint8_t grey, std::vector<std::uint8_t>& pixels) {
  pixels.insert(pixels.end(), 3, grey);
}

}  // namespace

void write_weight_map_picture(const SectionView& section, std::span<const float> class_weights,
                              const RunFolder& folder) {
  std::array<RgbImage, 3> panels;
  for (RgbImage& panel : panels)
    panel = {section.height, section.width, {}};
  for (const std::uint8_t grey : stretched_grey(section.raw))
    append_grey(grey, panels[0].pixels);
  const auto classes = static_cast<int>(class_weights.size());
  for (const std::uint8_t c : section.classes) {
    append_grey(c == kIgnoredClass ? 128 : static_cast<std::uint8_t>(255 * c / std::max(1, classes - 1)),
                panels[1].pixels);
  }
  const std::vector<float> weights = pixel_weights(section.classes, class_weights, section.border);
  const double largest = std::max(1e-12F, *std::max_element(weights.begin(), weights.end()));
  for (const float weight : weights)
    append_colour(weight / largest, panels[2].pixels);
  const RgbImage picture = side_by_side(panels);
  write_png(folder.previews() / "weight_map.png", picture.height, picture.width, 3, picture.pixels);
}

}  // namespace tessera
