#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tessera {

/// A position in a section, in pixels; pixel centres have integer coordinates.
struct Place {
  double y = 0, x = 0;
};

/// Nodes along each side of the grid of random displacements.
constexpr std::size_t kWarpNodes = 3;

/// The map from the pixels of a square sample to its section: rotation and scaling about the sample's middle,
/// shift, and smooth displacements. The default is the identity.
struct SampleWarp {
  double angle = 0;  ///< radians; rotates the content counter-clockwise, with y down
  double scale = 1;  ///< of the content; above 1 enlarges it
  Place shift;       ///< pixels of the section, added to the source positions
  /// Displacements in pixels, added likewise, on a grid over the sample's input whose outer nodes are the
  /// corner pixels.
  std::array<Place, kWarpNodes * kWarpNodes> nodes{};
  /// The misalignment of each section of the input, (y, x) in whole pixels. Empty: none.
  std::vector<std::array<std::int64_t, 2>> section_shifts = {};

  bool is_identity() const;
};

/// The source positions of a square of pixels, (y, x) row-major, relative to the sample's first input pixel:
/// of the pixels from `begin` to `begin + side` - 1 along y and x of an input of `input_side`. Between the
/// nodes the displacements are bicubic (cubic_weights); beyond the outer nodes they are constant.
std::vector<Place> source_places(const SampleWarp& warp, std::int64_t input_side, std::int64_t begin,
                                 std::int64_t side);

/// The weight of each node of a side at each pixel of a line of `side` pixels.
std::vector<std::array<double, kWarpNodes>> node_weights(std::int64_t side);

/// Half-open bounds of pixels.
struct PixelBounds {
  std::int64_t y_begin = 0, x_begin = 0, y_end = 0, x_end = 0;
  std::int64_t width() const { return x_end - x_begin; }
};
/// The smallest bounds that contain the positions and `reach` pixels more on each side.
PixelBounds bounds_of(const std::vector<Place>& places, std::int64_t reach);

/// Bicubic interpolation of an image, whose first pixel is at the begin of the bounds, at the positions plus
/// `shift`. The bounds must extend 2 pixels beyond every shifted position.
void sample_cubic(const float* image, const PixelBounds& bounds, const std::vector<Place>& places,
                  const std::array<std::int64_t, 2>& shift, float* result);

/// The pixel nearest to each position, as an index into an image whose first pixel is at the begin of the
/// bounds.
std::vector<std::size_t> nearest_pixels(const PixelBounds& bounds, const std::vector<Place>& places);

}  // namespace tessera
