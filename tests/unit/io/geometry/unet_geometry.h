// The geometry of a 2-D U-Net along y and x in closed form, written without the program's list of layers:
// what the program derives is compared with it, and tests that need no network take their geometry from it.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/network_geometry.h"

namespace tessera {

/// The network of Ronneberger et al. 2015 with `depth` poolings and `block_convs` 3x3 valid convolutions per
/// level: input 2^depth m + 2 c (2^depth - 1), output 2^depth (m - 2c) - 2 c (2^depth - 1), c = block_convs.
/// depth >= 1, block_convs >= 1.
inline NetworkGeometry valid_geometry(int depth, int block_convs) {
  assert(depth >= 1 && block_convs >= 1);
  const std::int64_t scale = std::int64_t{1} << depth;
  const std::int64_t lost = 2 * block_convs;  // by the convolutions of one level
  NetworkGeometry geometry;
  geometry.padding = Padding::valid;
  geometry.alignment = scale;
  const std::int64_t rim = lost * (scale - 1);  // input = scale * m + rim, output = scale * (m - lost) - rim
  geometry.margin = (lost * scale + 2 * rim) / 2;
  geometry.side_remainder = rim % scale;
  const std::int64_t bottom = lost + rim / scale + 1;  // the smallest m with an output left
  geometry.smallest_input = scale * bottom + rim;
  return geometry;
}

namespace closed_forms {

/// Along one axis, which positions of a level the zero padding has reached.
using Reached = std::vector<bool>;

inline Reached convolve(const Reached& in) {
  Reached out(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    out[i] = in[i] || i == 0 || i + 1 == in.size() || in[i - 1] || in[i + 1];
  }
  return out;
}

inline Reached pool(const Reached& in) {
  Reached out(in.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = in[2 * i] || in[2 * i + 1];
  return out;
}

inline Reached up_convolve(const Reached& in, int up_kernel) {
  Reached out(2 * in.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = in[i / 2];
    // A 3x3 kernel with stride 2 feeds even positions from the one before, too (Keras' alignment).
    if (up_kernel == 3 && i % 2 == 0) out[i] = out[i] || i == 0 || in[i / 2 - 1];
  }
  return out;
}

}  // namespace closed_forms

/// How far, in pixels, the zero padding reaches into the output of a 'same' network, unrounded.
inline std::int64_t padding_reach(int depth, int block_convs, int up_kernel) {
  const std::size_t scale = std::size_t{1} << depth;
  using namespace closed_forms;
  Reached level(scale * static_cast<std::size_t>(64 * block_convs), false);
  std::vector<Reached> skips;
  for (int l = 0; l <= depth; ++l) {
    for (int c = 0; c < block_convs; ++c)
      level = convolve(level);
    if (l < depth) {
      skips.push_back(level);
      level = pool(level);
    }
  }
  for (int l = depth - 1; l >= 0; --l) {
    level = up_convolve(level, up_kernel);
    for (std::size_t i = 0; i < level.size(); ++i)
      level[i] = level[i] || skips[static_cast<std::size_t>(l)][i];
    for (int c = 0; c < block_convs; ++c)
      level = convolve(level);
  }
  const auto clean_first = std::find(level.begin(), level.end(), false);
  const auto clean_last = std::find(level.rbegin(), level.rend(), false);
  assert(clean_first != level.end());
  return std::max(clean_first - level.begin(), clean_last - level.rbegin());
}

/// The same network with 'same' padding and an up-convolution of `up_kernel` (2 or 3) with stride 2. The
/// margin is found by following the zero padding's influence through the layers, rounded up to 2^depth.
inline NetworkGeometry same_geometry(int depth, int block_convs, int up_kernel) {
  assert(depth >= 1 && block_convs >= 1 && (up_kernel == 2 || up_kernel == 3));
  NetworkGeometry geometry;
  geometry.padding = Padding::same;
  geometry.alignment = std::int64_t{1} << depth;
  geometry.margin = round_up(padding_reach(depth, block_convs, up_kernel), geometry.alignment);
  geometry.side_remainder = 0;
  geometry.smallest_input = geometry.alignment;
  return geometry;
}

}  // namespace tessera
