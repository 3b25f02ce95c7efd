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
/// NaN and infinities count for nothing and become black.
std::vector<std::uint8_t> stretched_grey(std::span<const float> raw);

/// Grey as it is where the interior is predicted rightly, tinted yellow where the membrane is; vermilion
/// where interior is predicted and the truth is membrane (cells run together), sky blue for the reverse.
/// The colours are of Okabe and Ito's set, which colour-blind people tell apart.
/// `truth` is non-zero in the interior, which is predicted where `probability` is above `threshold`.
RgbImage error_overlay(std::span<const std::uint8_t> grey, std::span<const std::uint8_t> truth,
                       std::span<const double> probability, double threshold, std::int64_t height,
                       std::int64_t width);

/// The three panels of a section: raw, label (interior white), raw with the prediction over it. A section
/// with a side over 1024 is scaled down by a whole factor (means of squares).
std::array<RgbImage, 3> section_panels(std::span<const float> raw, std::span<const std::uint8_t> truth,
                                       std::span<const double> probability, double threshold,
                                       std::int64_t height, std::int64_t width);

/// Images on white, with a gap between them, from the top.
RgbImage side_by_side(std::span<const RgbImage> images);

/// The three panels side by side.
RgbImage section_picture(std::span<const float> raw, std::span<const std::uint8_t> truth,
                         std::span<const double> probability, double threshold, std::int64_t height,
                         std::int64_t width);

}  // namespace tessera
