#pragma once

#include <cstdint>
#include <vector>

#include "io/geometry/box.h"

namespace tessera {

struct SerialSectionsOptions {
  Index3 shape{20, 512, 512};
  std::uint64_t seed = 1;
  double cell_size_px = 60;  ///< typical width of a cell; sizes vary from a third of it to three times
};

/// One synthetic section; all three row-major, shape.y * shape.x.
struct SerialSection {
  std::vector<std::uint8_t> raw;  ///< grey values as in transmission electron microscopy: membranes are dark
  std::vector<std::uint8_t> cells;       ///< 255: inside a cell, 0: membrane (the polarity of ISBI 2012)
  std::vector<std::uint64_t> instances;  ///< the cell's id, 0: membrane; one id over all sections of a cell
};

/// A synthetic stack with the difficulties of real ones: membranes with varying, sometimes almost no
/// contrast, organelles that look like membranes, dark cells, noise, and sections of different brightness.
/// Sections can be made in any order: the bytes depend on the options and z only.
class SerialSections {
 public:
  /// Errors: UsageError for an impossible shape or cell size.
  explicit SerialSections(const SerialSectionsOptions& options);

  const SerialSectionsOptions& options() const { return options_; }
  /// 0 <= z < shape.z.
  SerialSection section(std::int64_t z) const;

 private:
  SerialSectionsOptions options_;
};

}  // namespace tessera
