#include "workers/metrics/warping_error.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>

#include "workers/metrics/components.h"

namespace tessera {
namespace {

/// Runs of set bits around the circle of eight neighbours; 0 for none and for all.
int runs(std::uint8_t circle) {
  return std::popcount(static_cast<std::uint8_t>(circle & ~std::rotl(circle, 1)));
}

constexpr std::uint8_t kEdgeNeighbours = 0b01010101;  // W, N, E, S

std::array<bool, 256> simple_points() {
  std::array<bool, 256> table{};
  for (std::size_t circle = 0; circle < 256; ++circle) {
    table[circle] = is_simple_point(static_cast<std::uint8_t>(circle));
  }
  return table;
}

/// A mask in a frame of zeros, one pixel wide, so that neighbourhoods need no border tests.
struct Framed {
  std::int64_t row;
  std::vector<std::uint8_t> pixels;

  Framed(std::span<const std::uint8_t> mask, std::int64_t height, std::int64_t width)
      : row(width + 2), pixels(static_cast<std::size_t>((width + 2) * (height + 2)), 0) {
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        at((y + 1) * row + x + 1) = mask[static_cast<std::size_t>(y * width + x)] != 0 ? 1 : 0;
      }
    }
  }
  std::uint8_t& at(std::int64_t pixel) { return pixels[static_cast<std::size_t>(pixel)]; }
  std::uint8_t neighbours(std::int64_t p) const {
    const std::array<std::int64_t, 8> around{p - 1, p - row - 1, p - row, p - row + 1,
                                             p + 1, p + row + 1, p + row, p + row - 1};
    unsigned circle = 0;
    for (std::size_t i = 0; i < 8; ++i)
      circle |= static_cast<unsigned>(pixels[static_cast<std::size_t>(around[i])]) << i;
    return static_cast<std::uint8_t>(circle);
  }
};

/// The different labels around (y, x), at most `limit` of them.
std::size_t count_labels_around(std::span<const std::int32_t> labels, std::int64_t height, std::int64_t width,
                                std::int64_t y, std::int64_t x, std::array<std::int32_t, 8>& found) {
  std::size_t count = 0;
  for (std::int64_t v = std::max<std::int64_t>(y - 1, 0); v <= std::min(y + 1, height - 1); ++v) {
    for (std::int64_t u = std::max<std::int64_t>(x - 1, 0); u <= std::min(x + 1, width - 1); ++u) {
      if (v == y && u == x) continue;
      const std::int32_t label = labels[static_cast<std::size_t>(v * width + u)];
      const auto end = found.begin() + static_cast<std::ptrdiff_t>(count);
      if (std::find(found.begin(), end, label) == end) found[count++] = label;
    }
  }
  return count;
}

/// Whether clearing the pixel disconnects its neighbours within `radius`.
bool splits_its_object(std::span<const std::uint8_t> labels, std::int64_t height, std::int64_t width,
                       std::int64_t y, std::int64_t x, std::int64_t radius) {
  const std::int64_t reach = radius == 0 ? std::max(height, width) : radius;
  const std::int64_t top = std::max<std::int64_t>(y - reach, 0), bottom = std::min(y + reach + 1, height);
  const std::int64_t left = std::max<std::int64_t>(x - reach, 0), right = std::min(x + reach + 1, width);
  std::vector<std::uint8_t> window;
  window.reserve(static_cast<std::size_t>((bottom - top) * (right - left)));
  for (std::int64_t v = top; v < bottom; ++v) {
    const auto line =
        labels.subspan(static_cast<std::size_t>(v * width + left), static_cast<std::size_t>(right - left));
    window.insert(window.end(), line.begin(), line.end());
  }
  window[static_cast<std::size_t>((y - top) * (right - left) + x - left)] = 0;
  const Components parts = label_components(window, bottom - top, right - left);
  std::array<std::int32_t, 8> around{};
  return count_labels_around(parts.labels, bottom - top, right - left, y - top, x - left, around) > 2;
}

/// Groups of pixels that touch each other by an edge, and with `corners` by a corner too.
double count_groups(std::vector<std::int32_t> pixels, std::int64_t width, bool corners) {
  std::sort(pixels.begin(), pixels.end());
  std::vector<bool> seen(pixels.size(), false);
  double groups = 0;
  std::vector<std::size_t> todo;
  for (std::size_t seed = 0; seed < pixels.size(); ++seed) {
    if (seen[seed]) continue;
    ++groups;
    seen[seed] = true;
    todo.assign(1, seed);
    while (!todo.empty()) {
      const std::int64_t pixel = pixels[todo.back()], x = pixel % width;
      todo.pop_back();
      for (std::int64_t dy = -1; dy <= 1; ++dy) {
        for (std::int64_t dx = -1; dx <= 1; ++dx) {
          if ((!corners && dy != 0 && dx != 0) || x + dx < 0 || x + dx >= width) continue;
          const std::int64_t wanted = pixel + dy * width + dx;
          const auto found = std::lower_bound(pixels.begin(), pixels.end(), wanted);
          if (found == pixels.end() || *found != wanted) continue;
          const auto index = static_cast<std::size_t>(found - pixels.begin());
          if (seen[index]) continue;
          seen[index] = true;
          todo.push_back(index);
        }
      }
    }
  }
  return groups;
}

}  // namespace

WarpingSums& WarpingSums::operator+=(const WarpingSums& other) {
  mismatches += other.mismatches;
  split_pixels += other.split_pixels;
  merge_pixels += other.merge_pixels;
  hole_additions += other.hole_additions;
  hole_deletions += other.hole_deletions;
  object_additions += other.object_additions;
  object_deletions += other.object_deletions;
  splits += other.splits;
  merges += other.merges;
  return *this;
}

bool is_simple_point(std::uint8_t neighbours) {
  // Inside, 4-connected: corners only join edge neighbours. A corner counts where one beside it is set.
  const auto outside = static_cast<std::uint8_t>(~neighbours);
  // Components of inside that touch the pixel by an edge: runs of the circle after dropping lone corners.
  const std::uint8_t edges = neighbours & kEdgeNeighbours;
  const auto beside_edge = static_cast<std::uint8_t>(std::rotl(edges, 1) | std::rotr(edges, 1));
  const auto inside = static_cast<std::uint8_t>(edges | (neighbours & beside_edge));
  const int inside_components = neighbours == 0xFF ? 1 : runs(inside);
  // Outside, 8-connected: an outside edge neighbour joins both its corners and, across a corner, the next
  // edge.
  const std::uint8_t open = outside & kEdgeNeighbours;
  std::uint8_t joined = outside;
  for (int corner = 1; corner < 8; corner += 2) {
    const unsigned before = 1U << (corner - 1), after = 1U << ((corner + 1) % 8);
    if ((open & before) != 0 && (open & after) != 0) joined |= static_cast<std::uint8_t>(1U << corner);
  }
  const int outside_components = joined == 0xFF ? 1 : runs(joined);
  return inside_components == 1 && outside_components == 1;
}

WarpedSection warp_section(std::span<const std::uint8_t> truth, std::span<const double> prediction,
                           double threshold, std::int64_t height, std::int64_t width) {
  static const std::array<bool, 256> kSimple = simple_points();
  assert(truth.size() == prediction.size() && static_cast<std::int64_t>(truth.size()) == height * width);
  struct Mismatch {
    float distance;
    std::int32_t index;
    std::int64_t framed;
  };
  std::vector<Mismatch> left;
  for (std::int64_t x = 0; x < width; ++x) {
    for (std::int64_t y = 0; y < height; ++y) {
      const auto i = static_cast<std::size_t>(y * width + x);
      if ((truth[i] != 0) == (prediction[i] > threshold)) continue;
      const auto distance = static_cast<float>(std::abs(prediction[i] - threshold));
      left.push_back({distance, static_cast<std::int32_t>(i), (y + 1) * (width + 2) + x + 1});
    }
  }
  // A flipped pixel agrees and is never flipped back. So the others keep their order, and one sort is enough.
  std::stable_sort(left.begin(), left.end(),
                   [](const Mismatch& a, const Mismatch& b) { return a.distance > b.distance; });
  Framed warped(truth, height, width);
  for (std::size_t before = left.size() + 1; left.size() < before;) {
    before = left.size();
    std::size_t kept = 0;
    for (const Mismatch& one : left) {
      if (kSimple[warped.neighbours(one.framed)])
        warped.at(one.framed) ^= 1U;
      else
        left[kept++] = one;
    }
    left.resize(kept);
  }
  WarpedSection section;
  section.labels.reserve(truth.size());
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x)
      section.labels.push_back(warped.at((y + 1) * warped.row + x + 1));
  }
  for (const Mismatch& one : left)
    section.mismatches.push_back(one.index);
  std::sort(section.mismatches.begin(), section.mismatches.end());
  return section;
}

WarpingSums classify_mismatches(const WarpedSection& warped, std::int64_t height, std::int64_t width,
                                std::int64_t radius) {
  const Components objects = label_components(warped.labels, height, width);
  WarpingSums sums;
  std::vector<std::int32_t> splits, merges;
  for (const std::int32_t index : warped.mismatches) {
    const std::int64_t y = index / width, x = index % width;
    const bool inside = warped.labels[static_cast<std::size_t>(index)] != 0;
    std::array<std::int32_t, 8> around{};
    const std::size_t labels = count_labels_around(objects.labels, height, width, y, x, around);
    if (labels <= 1 && around[0] == 0) {
      (inside ? sums.object_deletions : sums.object_additions) += 1;
    } else if (labels == 1) {
      (inside ? sums.hole_additions : sums.hole_deletions) += 1;
    } else if (labels > 2) {
      (inside ? splits : merges).push_back(index);
    } else if (!inside) {
      sums.hole_additions += 1;
    } else if (splits_its_object(warped.labels, height, width, y, x, radius)) {
      splits.push_back(index);
    } else {
      sums.hole_deletions += 1;
    }
  }
  sums.mismatches = static_cast<double>(warped.mismatches.size());
  sums.split_pixels = static_cast<double>(splits.size());
  sums.merge_pixels = static_cast<double>(merges.size());
  sums.splits = count_groups(std::move(splits), width, false);
  sums.merges = count_groups(std::move(merges), width, true);
  return sums;
}

}  // namespace tessera
