#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/metrics/components.h"

namespace tessera {

/// The scored pixels of one section sorted by their true component. Made once, it serves many predictions.
struct TrueComponents {
  std::int32_t count = 0;            ///< components, background (0) aside
  std::vector<std::int32_t> pixels;  ///< raster indices, component after component, background first
  std::vector<std::size_t> begins;   ///< where component 0, 1, ... count begins in `pixels`, and the end

  /// `truth` is (y, x): 0, kIgnoredClass for pixels that are not scored, other values in the interior.
  /// Components are 4-connected. Errors: as label_components.
  TrueComponents(std::span<const std::uint8_t> truth, std::int64_t height, std::int64_t width);
};

/// How many pixels each pair of a true and a predicted object shares, within one section. Both count their
/// background as object 0.
struct Contingency {
  struct Entry {
    std::int32_t truth = 0, predicted = 0;
    std::int64_t pixels = 0;
  };
  std::vector<Entry> entries;             ///< every pair that shares a pixel, by ascending `truth`
  std::vector<std::int64_t> truth;        ///< pixels of each true object
  std::vector<std::int64_t> predicted;    ///< pixels of each predicted object
  std::vector<std::int64_t> in_interior;  ///< those of `predicted` where the truth is not background
};

/// `predicted` holds labels 0 to `predicted_count`, a label per pixel of the section that `truth` is of. Only
/// scored pixels are counted.
Contingency count_overlaps(const TrueComponents& truth, std::span<const std::int32_t> predicted,
                           std::int32_t predicted_count);

}  // namespace tessera
