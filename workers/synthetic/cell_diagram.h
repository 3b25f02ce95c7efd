#pragma once

#include <cstdint>
#include <vector>

#include "workers/synthetic/smooth_noise.h"

namespace tessera {

/// A pixel's place among the cells.
struct CellPlace {
  std::uint64_t cell = 0;       ///< id of its cell, > 0
  std::uint64_t neighbour = 0;  ///< id of the nearest other cell
  float distance_px = 0;  ///< to the surface between the two, in the section; up to halved for oblique ones
  float obliqueness = 0;  ///< 0: the surface is perpendicular to the section; near 1: it is parallel
};

/// The cells of one section: a power diagram of jittered seeds on a lattice, short in y and x, long across
/// sections. Many seeds are fused to larger cells. Smooth displacements make outlines organic, and processes
/// move, swell and bend from section to section.
class CellDiagram {
 public:
  /// `cell_size_px`: the typical width of a cell. The window may reach outside the volume.
  CellDiagram(std::uint64_t seed, double cell_size_px, std::int64_t z, const SectionWindow& window);

  /// One per pixel of the window, row-major. Ids depend on seed and place only. Pixels of different cells
  /// that touch (4 neighbours) have a distance of less than one pixel.
  const std::vector<CellPlace>& places() const { return places_; }

 private:
  std::vector<CellPlace> places_;
};

}  // namespace tessera
