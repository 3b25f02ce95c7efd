#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// Rows from the top, pixels row-major, three bytes each.
struct RgbImage {
  std::int64_t height = 0, width = 0;
  std::vector<std::uint8_t> pixels;
};

/// Grey values 0 to 255: the 0.5th percentile becomes black, the 99.5th white. Where both are equal, 0.
/// NaN and infinities are left out of the percentiles and become black.
std::vector<std::uint8_t> stretched_grey(std::span<const float> raw);

/// What an overlay shows of a pixel. The order is that of `kOverlayColours`.
enum class OverlayClass : std::uint8_t { none, right_membrane, false_membrane, lost_membrane, ignored };
/// Red, green, blue and opacity of each class over the raw picture.
struct OverlayColour {
  std::uint8_t red, green, blue;
  double opacity;
};
// Okabe and Ito, "Color Universal Design", 2008.
inline constexpr std::array<OverlayColour, 5> kOverlayColours{
    {{0, 0, 0, 0}, {240, 228, 66, 0.45}, {86, 180, 233, 0.75}, {213, 94, 0, 0.75}, {0, 0, 0, 0.45}}};
/// `truth` is non-zero in the interior, which is predicted where `probability` is above `threshold`.
std::vector<OverlayClass> overlay_classes(std::span<const std::uint8_t> truth,
                                          std::span<const double> probability, double threshold);

/// Plain grey: interior, predicted rightly. Tinted yellow: membrane, predicted rightly. Vermilion: membrane,
/// predicted as interior (cells merge). Sky blue: interior, predicted as membrane.
/// The colours are of Okabe and Ito's set, which colour-blind people can distinguish.
/// Darkened grey: not annotated (kIgnoredClass), not scored.
/// `truth` is non-zero in the interior, which is predicted where `probability` is above `threshold`.
RgbImage error_overlay(std::span<const std::uint8_t> grey, std::span<const std::uint8_t> truth,
                       std::span<const double> probability, double threshold, std::int64_t height,
                       std::int64_t width);

/// Labels as grey: interior 255, membrane 0, not annotated 128.
std::vector<std::uint8_t> label_grey(std::span<const std::uint8_t> truth);

/// The three panels of a section: raw, label (interior white, not annotated grey), raw with the prediction
/// over it. A section with a side over 1024 is scaled down by a whole factor (means of squares).
std::array<RgbImage, 3> section_panels(std::span<const float> raw, std::span<const std::uint8_t> truth,
                                       std::span<const double> probability, double threshold,
                                       std::int64_t height, std::int64_t width);

/// Images side by side on white, aligned at the top, with a gap between them.
RgbImage side_by_side(std::span<const RgbImage> images);

}  // namespace tessera
