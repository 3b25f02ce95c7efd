#include "workers/metrics/warping_error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "workers/metrics/components.h"
#include "workers/metrics/watershed.h"

namespace tessera {
namespace {

using Mask = std::vector<std::uint8_t>;

/// A mask from a drawing: '#' is 1.
Mask drawn(const std::string& text) {
  Mask mask;
  for (const char c : text)
    mask.push_back(c == '#' ? 1 : 0);
  return mask;
}

WarpingSums warping_of(const Mask& truth, const Mask& prediction, std::int64_t height, std::int64_t width) {
  const std::vector<double> values(prediction.begin(), prediction.end());
  return classify_mismatches(warp_section(truth, values, 0.5, height, width), height, width);
}

/// The number of components with value `value` in a 3 x 3 square, without the centre. Components are
/// 8-connected if `corners`, else 4-connected and adjacent to the centre by an edge.
int components_around(const std::array<int, 9>& square, int value, bool corners) {
  std::set<int> seen;
  int count = 0;
  for (int seed = 0; seed < 9; ++seed) {
    if (seed == 4 || square[static_cast<std::size_t>(seed)] != value || seen.contains(seed)) continue;
    std::vector<int> todo{seed};
    seen.insert(seed);
    bool touches = corners;
    while (!todo.empty()) {
      const int at = todo.back();
      todo.pop_back();
      touches = touches || at % 2 == 1;  // the edge neighbours are cells 1, 3, 5, 7
      for (int other = 0; other < 9; ++other) {
        const int dy = std::abs(other / 3 - at / 3), dx = std::abs(other % 3 - at % 3);
        if (other == 4 || square[static_cast<std::size_t>(other)] != value || seen.contains(other)) continue;
        if (corners ? std::max(dy, dx) == 1 : dy + dx == 1) {
          seen.insert(other);
          todo.push_back(other);
        }
      }
    }
    count += touches ? 1 : 0;
  }
  return count;
}

TEST(WarpingError, SimplePointsByCountingComponents) {
  constexpr std::array<int, 8> kCircle{3, 0, 1, 2,
                                       5, 8, 7, 6};  // W, NW, N, NE, E, SE, S, SW as cells of the square
  int simple = 0;
  for (int bits = 0; bits < 256; ++bits) {
    std::array<int, 9> square{};
    for (std::size_t i = 0; i < 8; ++i)
      square[static_cast<std::size_t>(kCircle[i])] = bits >> i & 1;
    const bool expected = components_around(square, 1, false) == 1 && components_around(square, 0, true) == 1;
    EXPECT_EQ(is_simple_point(static_cast<std::uint8_t>(bits)), expected) << bits;
    simple += expected ? 1 : 0;
  }
  EXPECT_EQ(simple, 116) << "known number of simple points in the square grid";
}

/// The literal definition: list and sort mismatches, flip simple points, repeat until their number is
/// constant.
Mask warped_by_definition(Mask labels, const std::vector<double>& prediction, double threshold, int height,
                          int width) {
  const auto inside = [&](int y, int x) {
    return y >= 0 && x >= 0 && y < height && x < width &&
           labels[static_cast<std::size_t>(y * width + x)] != 0;
  };
  constexpr std::array<std::array<int, 2>, 8> kSteps{
      {{0, -1}, {-1, -1}, {-1, 0}, {-1, 1}, {0, 1}, {1, 1}, {1, 0}, {1, -1}}};
  for (std::size_t before = labels.size() + 1;;) {
    std::vector<std::pair<int, int>> mismatches;
    for (int x = 0; x < width; ++x) {
      for (int y = 0; y < height; ++y) {
        const bool wanted = prediction[static_cast<std::size_t>(y * width + x)] > threshold;
        if (inside(y, x) != wanted) mismatches.emplace_back(y, x);
      }
    }
    if (mismatches.size() == before) return labels;
    before = mismatches.size();
    const auto distance = [&](const auto& p) {
      return static_cast<float>(
          std::abs(prediction[static_cast<std::size_t>(p.first * width + p.second)] - threshold));
    };
    std::stable_sort(mismatches.begin(), mismatches.end(),
                     [&](const auto& a, const auto& b) { return distance(a) > distance(b); });
    for (const auto& [y, x] : mismatches) {
      unsigned bits = 0;
      for (std::size_t i = 0; i < 8; ++i)
        bits |= static_cast<unsigned>(inside(y + kSteps[i][0], x + kSteps[i][1]) ? 1 : 0) << i;
      if (is_simple_point(static_cast<std::uint8_t>(bits)))
        labels[static_cast<std::size_t>(y * width + x)] ^= 1U;
    }
  }
}

TEST(WarpingError, FollowsTheDefinition) {
  std::mt19937 random(11);
  std::size_t flipped = 0, remaining = 0;
  for (int round = 0; round < 200; ++round) {
    const int height = 1 + static_cast<int>(random() % 14), width = 1 + static_cast<int>(random() % 14);
    Mask truth(static_cast<std::size_t>(height * width));
    std::vector<double> prediction(truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
      truth[i] = random() % 3 != 0 ? 1 : 0;
      prediction[i] = static_cast<double>(random() % 5) / 4;
    }
    const WarpedSection warped = warp_section(truth, prediction, 0.5, height, width);
    EXPECT_EQ(warped.labels, warped_by_definition(truth, prediction, 0.5, height, width));
    std::size_t differing = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
      flipped += warped.labels[i] != truth[i] ? 1 : 0;
      differing += (warped.labels[i] != 0) != (prediction[i] > 0.5) ? 1 : 0;
    }
    EXPECT_EQ(warped.mismatches.size(), differing);
    remaining += differing;
  }
  EXPECT_GT(flipped, 1000U);
  EXPECT_GT(remaining, 100U);
}

TEST(WarpingError, ShiftedBordersCostNothing) {
  const Mask truth = drawn(
      "......"
      ".###.."
      ".###.."
      "......");
  const Mask shifted = drawn(
      "......"
      "..###."
      "..###."
      "......");
  EXPECT_EQ(warping_of(truth, shifted, 4, 6), WarpingSums{});
}

TEST(WarpingError, ClassifiesSplitsMergesAndOtherErrors) {
  const Mask whole = drawn(
      "......."
      ".#####."
      ".......");
  const Mask parts = drawn(
      "......."
      ".##.##."
      ".......");
  const WarpingSums split = warping_of(whole, parts, 3, 7);
  EXPECT_EQ(split.mismatches, 1);
  EXPECT_EQ(split.split_pixels, 1);
  EXPECT_EQ(split.splits, 1);
  const WarpingSums merge = warping_of(parts, whole, 3, 7);
  EXPECT_EQ(merge.mismatches, 1);
  EXPECT_EQ(merge.merge_pixels, 1);
  EXPECT_EQ(merge.merges, 1);

  const Mask nothing(21, 0), dot = drawn(
                                 "......."
                                 "...#..."
                                 ".......");
  EXPECT_EQ(warping_of(nothing, dot, 3, 7).object_additions, 1);
  EXPECT_EQ(warping_of(dot, nothing, 3, 7).object_deletions, 1);
  const Mask full = drawn(
                 "#######"
                 "#######"
                 "#######"),
             hole = drawn(
                 "#######"
                 "###.###"
                 "#######");
  EXPECT_EQ(warping_of(full, hole, 3, 7).hole_additions, 1);
  EXPECT_EQ(warping_of(hole, full, 3, 7).hole_deletions, 1);
}

TEST(WarpingError, EmptyAndFullSections) {
  const Mask nothing(12, 0), full(12, 1);
  EXPECT_EQ(warping_of(nothing, nothing, 3, 4), WarpingSums{});
  EXPECT_EQ(warping_of(full, full, 3, 4), WarpingSums{});
  EXPECT_EQ(warping_of(nothing, full, 3, 4).mismatches, 12) << "an empty section has no simple point";
  EXPECT_EQ(warping_of(full, nothing, 3, 4).mismatches, 1) << "one pixel of the object remains";
  EXPECT_EQ(warping_of({1}, {0}, 1, 1).mismatches, 1);
}

TEST(WarpingError, ACutLoopIsASplitOnlyWithinTheRadius) {
  // A ring that is cut on its left side. The whole ring remains one component.
  const std::string row(41, '#'), gap = "#" + std::string(39, '.') + "#";
  std::string ring = row;
  for (int i = 0; i < 39; ++i)
    ring += gap;
  ring += row;
  Mask cut = drawn(ring);
  cut[20 * 41] = 0;
  const std::vector<double> values(cut.begin(), cut.end());
  const WarpedSection warped = warp_section(drawn(ring), values, 0.5, 41, 41);
  EXPECT_EQ(classify_mismatches(warped, 41, 41, 5).split_pixels, 1);
  EXPECT_EQ(classify_mismatches(warped, 41, 41, 0).split_pixels, 0);
  EXPECT_EQ(classify_mismatches(warped, 41, 41, 0).hole_deletions, 1);
}

TEST(Watershed, GrowsComponentsUntilTheyMeet) {
  const Components thinned = thinned_components(drawn("#....#"
                                                      "#....#"
                                                      "#....#"),
                                                3, 6);
  EXPECT_EQ(thinned.count, 2);
  // Four columns lie between the components. The component that was queued first grows
  // by two, the other one by one. The column between them is the dam.
  EXPECT_EQ(thinned.labels,
            (std::vector<std::int32_t>{1, 1, 1, 0, 2, 2, 1, 1, 1, 0, 2, 2, 1, 1, 1, 0, 2, 2}));
  EXPECT_EQ(thinned_components(drawn("#...#"), 1, 5).labels, (std::vector<std::int32_t>{1, 1, 0, 2, 2}));
}

TEST(Watershed, WithoutOrWithOneComponent) {
  const Components none = thinned_components(Mask(6, 0), 2, 3);
  EXPECT_EQ(none.count, 1);
  EXPECT_EQ(none.labels, std::vector<std::int32_t>(6, 1));
  EXPECT_EQ(thinned_components(drawn("...#.."), 2, 3).labels, std::vector<std::int32_t>(6, 1));
  EXPECT_TRUE(thinned_components({}, 0, 0).labels.empty());
}

TEST(Watershed, EveryPixelIsInABasinOrOnADam) {
  std::mt19937 random(5);
  int dams = 0;
  for (int round = 0; round < 100; ++round) {
    const int height = 1 + static_cast<int>(random() % 20), width = 1 + static_cast<int>(random() % 20);
    Mask mask(static_cast<std::size_t>(height * width));
    for (std::uint8_t& one : mask)
      one = random() % 5 == 0 ? 1 : 0;
    const Components before = label_components(mask, height, width),
                     after = thinned_components(mask, height, width);
    for (std::size_t i = 0; i < mask.size(); ++i) {
      const bool stays = before.labels[i] == 0 || after.labels[i] == before.labels[i];
      EXPECT_TRUE(stays) << "components keep their pixels";
      EXPECT_GE(after.labels[i], 0);
      dams += after.labels[i] == 0 ? 1 : 0;
    }
  }
  EXPECT_GT(dams, 100);
}

}  // namespace
}  // namespace tessera
