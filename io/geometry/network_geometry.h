#pragma once

#include <cstdint>
#include <string>

#include "io/base/enum_names.h"

namespace tessera {

enum class Padding {
  valid,  ///< the output is smaller than the input by the margin on each side
  same,   ///< the output has the input's side
};
constexpr auto enum_names(Padding) {
  return std::to_array<EnumName<Padding>>({{Padding::valid, "valid"}, {Padding::same, "same"}});
}

/// What tiling must know of a network along one axis, in voxels. Inputs whose origins lie on the same phase
/// of `alignment` see the same pooling grid, so their outputs agree exactly where both are free of the
/// input's border. The defaults are the paper's network along y and x.
struct AxisGeometry {
  Padding padding = Padding::valid;
  std::int64_t alignment = 16;  ///< tile cores start on multiples of it
  std::int64_t margin = 92;     ///< valid: lost on each side; same: as far as the zero padding can be seen
  std::int64_t side_remainder = 12;  ///< legal input sides are alignment * k + side_remainder
  std::int64_t smallest_input = 188;

  /// The side of the network's output for a legal input side.
  std::int64_t output_side(std::int64_t input_side) const;
  bool is_legal_input(std::int64_t side) const;
  /// The side of the core that a tile of this input side answers for: the output (valid) or the input
  /// without its halo (same), cut down to a multiple of `alignment`; 0 when nothing is left.
  std::int64_t core_side(std::int64_t input_side) const;
  /// The smallest legal input side whose output covers `core` pixels from the output's origin (valid), or
  /// whose interior does (same).
  std::int64_t input_side_for(std::int64_t core) const;
  /// "the legal sides are 16 k + 12, from 204 on; the nearest are 572 and 588" for a message.
  std::string legal_sides_text(std::int64_t near) const;
  friend bool operator==(const AxisGeometry&, const AxisGeometry&) = default;
};

/// Along z, of a network over single sections with `context` sections of input on each side.
constexpr AxisGeometry section_geometry(std::int64_t context) {
  return {Padding::valid, 1, context, 0, 2 * context + 1};
}

/// What tiling must know of a network: along y and x, which are alike (tiles are rotated and transposed), and
/// along z.
struct NetworkGeometry : AxisGeometry {
  AxisGeometry z = section_geometry(0);

  /// axis 0, 1, 2: z, y, x.
  const AxisGeometry& operator[](int axis) const { return axis == 0 ? z : *this; }
};

}  // namespace tessera
