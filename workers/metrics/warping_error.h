#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// Pixels that still differ after the truth was warped towards a prediction, by their effect on the objects
/// (Jain et al. 2010, with the rules of the ISBI-2012 scorer). They add up over sections. Doubles, exact
/// below 2^53.
struct WarpingSums {
  double mismatches = 0;  ///< all of the following
  double split_pixels = 0, merge_pixels = 0;
  double hole_additions = 0, hole_deletions = 0;
  double object_additions = 0, object_deletions = 0;
  double splits = 0;  ///< 4-connected groups of split pixels
  double merges = 0;  ///< 8-connected groups of merge pixels

  WarpingSums& operator+=(const WarpingSums& other);
  friend bool operator==(const WarpingSums&, const WarpingSums&) = default;
};

/// A section after warping.
struct WarpedSection {
  std::vector<std::uint8_t> labels;      ///< (y, x): the truth, 0 or 1, with simple points flipped
  std::vector<std::int32_t> mismatches;  ///< raster indices where it still differs, ascending
};

/// Warps `truth` (non-zero inside) towards prediction > threshold, both (y, x): flips pixels that differ and
/// are simple (4-connected inside, 8-connected outside; beyond the section is outside), the largest
/// |prediction - threshold| (in float) first and x-major among equals, again and again until no more flips.
WarpedSection warp_section(std::span<const std::uint8_t> truth, std::span<const double> prediction,
                           double threshold, std::int64_t height, std::int64_t width);

/// Classifies the mismatches. Whether removing a pixel splits an object is decided in the square of `radius`
/// pixels around it; 0 means the whole section. The challenge uses 20.
WarpingSums classify_mismatches(const WarpedSection& warped, std::int64_t height, std::int64_t width,
                                std::int64_t radius = 20);

/// Whether flipping a pixel changes no object: the pixel has exactly one 4-connected component of inside and
/// one 8-connected component of outside in its neighbourhood. `neighbours`: bit i is neighbour i, counted
/// from the west clockwise (W, NW, N, NE, E, SE, S, SW), set inside.
bool is_simple_point(std::uint8_t neighbours);

}  // namespace tessera
