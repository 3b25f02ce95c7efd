#include "io/geometry/network_geometry.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/geometry/box.h"

namespace tessera {

std::int64_t AxisGeometry::output_side(std::int64_t input_side) const {
  return padding == Padding::valid ? input_side - 2 * margin : input_side;
}

bool AxisGeometry::is_legal_input(std::int64_t side) const {
  return side >= smallest_input && (side - side_remainder) % alignment == 0;
}

std::int64_t AxisGeometry::core_side(std::int64_t input_side) const {
  return std::max<std::int64_t>(0, round_down(input_side - 2 * margin, alignment));
}

std::int64_t AxisGeometry::input_side_for(std::int64_t core) const {
  const std::int64_t needed = std::max(core + 2 * margin, smallest_input);
  return round_up(needed - side_remainder, alignment) + side_remainder;
}

std::string AxisGeometry::legal_sides_text(std::int64_t near) const {
  const std::int64_t first = input_side_for(alignment);
  const std::int64_t below =
      std::max(first, round_down(std::max(near, first) - side_remainder, alignment) + side_remainder);
  return fmt::format("legal sides are {} k + {}, from {} on; the nearest to {} are {} and {}", alignment,
                     side_remainder, first, near, below, below + alignment);
}

}  // namespace tessera
