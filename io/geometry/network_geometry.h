#pragma once

#include <cstdint>
#include <string>

namespace tessera {

enum class Padding { valid, same };

/// What tiling must know of a network, along y and x alike, in pixels. Inputs whose origins lie on the same
/// phase of `alignment` (2^depth) see the same pooling grid, so their outputs agree exactly where both are
/// free of the input's border.
struct NetworkGeometry {
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
};

/// The network of Ronneberger et al. 2015 with `depth` poolings and `block_convs` 3x3 valid convolutions per
/// level: input 2^depth m + 2 c (2^depth - 1), output 2^depth (m - 2c) - 2 c (2^depth - 1), c = block_convs.
/// depth >= 1, block_convs >= 1.
NetworkGeometry valid_geometry(int depth, int block_convs);

/// The same network with 'same' padding and an up-convolution of `up_kernel` (2 or 3) with stride 2. The
/// margin is found by following the zero padding's influence through the layers, rounded up to 2^depth.
NetworkGeometry same_geometry(int depth, int block_convs, int up_kernel);

/// How far, in pixels, the zero padding reaches into the output of a 'same' network, unrounded.
std::int64_t padding_reach(int depth, int block_convs, int up_kernel);

}  // namespace tessera
