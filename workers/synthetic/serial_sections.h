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
  std::vector<std::uint8_t> raw;    ///< grey values as of a transmission electron microscope: membranes dark
  std::vector<std::uint8_t> cells;  ///< 255: inside a cell, 0: membrane (the polarity of ISBI 2012)
  std::vector<std::uint64_t> instances;  ///< the cell's id, 0: membrane; one id over all sections of a cell
};

/// A synthetic stack that has the difficulties of the real thing: membranes whose contrast varies down to
/// nearly nothing, organelles that look like membranes and are not, dark cells, grain, sections of different
/// brightness. Any section can be had at any time: its bytes depend on the options and z only.
class SerialSections {
 public:
  /// Errors: UsageError for a shape or cell size that cannot be.
  explicit SerialSections(const SerialSectionsOptions& options);

  const SerialSectionsOptions& options() const { return options_; }
  /// 0 <= z < shape.z.
  SerialSection section(std::int64_t z) const;

 private:
  SerialSectionsOptions options_;
};

}  // namespace tessera
