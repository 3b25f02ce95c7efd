#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace tessera {

/// A place in a section, in pixels; pixel centres are whole numbers.
struct Place {
  double y = 0, x = 0;
};

/// Nodes along each side of the grid of random displacements.
constexpr std::size_t kWarpNodes = 3;

/// How the pixels of a square sample lie in its section: turned and scaled about the sample's middle, moved,
/// and displaced smoothly. Whole; without numbers of its own it is the identity.
struct SampleWarp {
  double angle = 0;  ///< radians; the content turns counter-clockwise, with y down
  double scale = 1;  ///< of the content; above 1 it looks larger
  Place shift;       ///< pixels of the section, added to where pixels come from
  /// Displacements in pixels at a grid over the sample's input whose outer nodes are its corner pixels, added
  /// likewise.
  std::array<Place, kWarpNodes * kWarpNodes> nodes{};
  /// Of each section of the input, where a section is misaligned: whole pixels. Empty: none is.
  std::vector<std::array<std::int64_t, 2>> section_shifts = {};

  bool is_identity() const;
};

/// Where the pixels of a square come from, (y, x) row-major, relative to the sample's first input pixel:
/// those from `begin` to `begin + side` - 1 along y and x of an input of `input_side`. The displacements
/// between the nodes are bicubic (cubic_weights; beyond the outer nodes they go on as they are at them).
std::vector<Place> source_places(const SampleWarp& warp, std::int64_t input_side, std::int64_t begin,
                                 std::int64_t side);

/// What each node of a side contributes at each pixel of a line of `side` pixels.
std::vector<std::array<double, kWarpNodes>> node_weights(std::int64_t side);

/// The smallest box of whole pixels that holds the places with `reach` more on each side: begin y, begin x,
/// end y, end x.
struct PixelBounds {
  std::int64_t y_begin = 0, x_begin = 0, y_end = 0, x_end = 0;
  std::int64_t width() const { return x_end - x_begin; }
};
PixelBounds bounds_of(const std::vector<Place>& places, std::int64_t reach);

/// Bicubic: the values of an image, whose first pixel lies at the bounds' begin, at the places plus `shift`.
/// The bounds reach 2 pixels beyond every place so moved.
void sample_cubic(const float* image, const PixelBounds& bounds, const std::vector<Place>& places,
                  const std::array<std::int64_t, 2>& shift, float* result);

/// The pixel nearest to each place, as an index into an image whose first pixel lies at the bounds' begin.
std::vector<std::size_t> nearest_pixels(const PixelBounds& bounds, const std::vector<Place>& places);

}  // namespace tessera
