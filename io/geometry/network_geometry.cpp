#include "io/geometry/network_geometry.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <vector>

#include "io/geometry/box.h"

namespace tessera {

std::int64_t NetworkGeometry::output_side(std::int64_t input_side) const {
  return padding == Padding::valid ? input_side - 2 * margin : input_side;
}

bool NetworkGeometry::is_legal_input(std::int64_t side) const {
  return side >= smallest_input && (side - side_remainder) % alignment == 0;
}

std::int64_t NetworkGeometry::core_side(std::int64_t input_side) const {
  return std::max<std::int64_t>(0, round_down(input_side - 2 * margin, alignment));
}

std::int64_t NetworkGeometry::input_side_for(std::int64_t core) const {
  const std::int64_t needed = std::max(core + 2 * margin, smallest_input);
  return round_up(needed - side_remainder, alignment) + side_remainder;
}

std::string NetworkGeometry::legal_sides_text(std::int64_t near) const {
  const std::int64_t first = input_side_for(alignment);
  const std::int64_t below =
      std::max(first, round_down(std::max(near, first) - side_remainder, alignment) + side_remainder);
  return fmt::format("legal sides are {} k + {}, from {} on; the nearest to {} are {} and {}", alignment,
                     side_remainder, first, near, below, below + alignment);
}

NetworkGeometry valid_geometry(int depth, int block_convs) {
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

namespace {

/// Along one axis, which positions of a level the zero padding has reached.
using Reached = std::vector<bool>;

Reached convolve(const Reached& in) {
  Reached out(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    out[i] = in[i] || i == 0 || i + 1 == in.size() || in[i - 1] || in[i + 1];
  }
  return out;
}

Reached pool(const Reached& in) {
  Reached out(in.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = in[2 * i] || in[2 * i + 1];
  return out;
}

Reached up_convolve(const Reached& in, int up_kernel) {
  Reached out(2 * in.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = in[i / 2];
    // A 3x3 kernel with stride 2 feeds even positions from the one before, too (Keras' alignment).
    if (up_kernel == 3 && i % 2 == 0) out[i] = out[i] || i == 0 || in[i / 2 - 1];
  }
  return out;
}

}  // namespace

std::int64_t padding_reach(int depth, int block_convs, int up_kernel) {
  const std::size_t scale = std::size_t{1} << depth;
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

NetworkGeometry same_geometry(int depth, int block_convs, int up_kernel) {
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
