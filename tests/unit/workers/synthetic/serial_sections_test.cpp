#include "workers/synthetic/serial_sections.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "io/base/error.h"
#include "workers/synthetic/cell_diagram.h"
#include "workers/synthetic/smooth_noise.h"

namespace tessera {
namespace {

SerialSectionsOptions small(std::uint64_t seed) {
  SerialSectionsOptions options;
  options.shape = {6, 192, 256};
  options.seed = seed;
  return options;
}

TEST(SmoothNoise, IsNormalisedAndDoesNotDependOnTheWindow) {
  const SectionWindow whole{-5, -7, 300, 400}, part{40, 33, 20, 30};
  const auto all = smooth_noise(3, 4, whole, 2.4, 12, 5), some = smooth_noise(3, 4, part, 2.4, 12, 5);
  for (std::int64_t y = 0; y < part.height; ++y) {
    for (std::int64_t x = 0; x < part.width; ++x) {
      ASSERT_EQ(some[static_cast<std::size_t>(y * part.width + x)],
                all[static_cast<std::size_t>((y + part.y - whole.y) * whole.width + x + part.x - whole.x)]);
    }
  }
  double sum = 0, squares = 0;
  for (const float value : all) {
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(all.size());
  EXPECT_NEAR(sum / count, 0, 0.1);
  EXPECT_NEAR(std::sqrt(squares / count), 1, 0.15);
}

TEST(SerialSections, DoNotDependOnTheOrder) {
  const SerialSections forwards(small(7)), backwards(small(7));
  std::map<std::int64_t, SerialSection> made;
  for (std::int64_t z = 0; z < 6; ++z)
    made[z] = forwards.section(z);
  for (std::int64_t z = 5; z >= 0; --z) {
    const SerialSection again = backwards.section(z);
    EXPECT_EQ(again.raw, made[z].raw) << "section " << z;
    EXPECT_EQ(again.cells, made[z].cells) << "section " << z;
    EXPECT_EQ(again.instances, made[z].instances) << "section " << z;
  }
}

TEST(SerialSections, DifferByZAndSeed) {
  const SerialSections one(small(1)), two(small(2));
  EXPECT_NE(one.section(0).raw, one.section(1).raw);
  EXPECT_NE(one.section(0).raw, two.section(0).raw);
  EXPECT_NE(one.section(0).cells, two.section(0).cells);
}

TEST(SerialSections, DoNotDependOnTheShape) {
  SerialSectionsOptions larger = small(5);
  larger.shape = {9, 200, 300};
  const SerialSection part = SerialSections(small(5)).section(3), whole = SerialSections(larger).section(3);
  for (std::int64_t y = 0; y < 192; ++y) {
    for (std::int64_t x = 0; x < 256; ++x) {
      const auto at = static_cast<std::size_t>(y * 256 + x), in_whole = static_cast<std::size_t>(y * 300 + x);
      ASSERT_EQ(part.raw[at], whole.raw[in_whole]) << y << ", " << x;
      ASSERT_EQ(part.instances[at], whole.instances[in_whole]) << y << ", " << x;
    }
  }
}

TEST(SerialSections, LabelsAgree) {
  const SerialSections sections(small(3));
  std::map<std::uint64_t, std::set<std::int64_t>> seen_in;
  for (std::int64_t z = 0; z < 6; ++z) {
    const SerialSection made = sections.section(z);
    std::size_t membrane = 0;
    for (std::size_t i = 0; i < made.cells.size(); ++i) {
      ASSERT_TRUE(made.cells[i] == 0 || made.cells[i] == 255);
      ASSERT_EQ(made.cells[i] == 0, made.instances[i] == 0) << "section " << z << ", voxel " << i;
      membrane += made.cells[i] == 0 ? 1 : 0;
      if (made.instances[i] != 0) seen_in[made.instances[i]].insert(z);
    }
    const double membrane_fraction = static_cast<double>(membrane) / static_cast<double>(made.cells.size());
    EXPECT_GT(membrane_fraction, 0.10) << "section " << z;
    EXPECT_LT(membrane_fraction, 0.35) << "section " << z;
  }
  EXPECT_GT(seen_in.size(), 15U);
  const auto long_cells =
      std::count_if(seen_in.begin(), seen_in.end(), [](const auto& cell) { return cell.second.size() >= 4; });
  EXPECT_GT(long_cells * 2, std::ssize(seen_in)) << "most cells should extend over several sections";
}

TEST(CellDiagram, CellsTouchOnlyOnTheirSurface) {
  const SectionWindow window{-3, -3, 400, 500};
  for (std::int64_t z = 0; z < 8; z += 2) {
    const CellDiagram diagram(1, 60, z, window);
    std::int64_t touching = 0;
    for (std::size_t i = 0; i < diagram.places().size(); ++i) {
      for (const std::size_t next : {i + 1, i + 500}) {
        if (next >= diagram.places().size() || (next == i + 1 && next % 500 == 0)) continue;
        const CellPlace &a = diagram.places()[i], &b = diagram.places()[next];
        if (a.cell == b.cell) continue;
        ASSERT_LT(std::max(a.distance_px, b.distance_px), 1) << "section " << z << ", pixel " << i;
        ++touching;
      }
    }
    EXPECT_GT(touching, 1000);
  }
}

/// The smallest fraction of wrong pixels over all thresholds, after a box blur of `radius` pixels.
double best_threshold_error(const SerialSection& made, int height, int width, int radius) {
  std::array<std::array<std::int64_t, 256>, 2> histogram{};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      int sum = 0, count = 0;
      for (int v = std::max(0, y - radius); v <= std::min(height - 1, y + radius); ++v) {
        for (int u = std::max(0, x - radius); u <= std::min(width - 1, x + radius); ++u) {
          sum += made.raw[static_cast<std::size_t>(v * width + u)];
          ++count;
        }
      }
      const bool inside = made.cells[static_cast<std::size_t>(y * width + x)] != 0;
      ++histogram[inside ? 1 : 0][static_cast<std::size_t>(sum / count)];
    }
  }
  std::int64_t wrong = 0;  // at first all pixels are classified as cell
  for (const std::int64_t count : histogram[0])
    wrong += count;
  std::int64_t best = wrong;
  for (std::size_t grey = 0; grey < 256; ++grey) {  // pixels of at most `grey` are classified as membrane
    wrong += histogram[1][grey] - histogram[0][grey];
    best = std::min(best, wrong);
  }
  return static_cast<double>(best) / (static_cast<double>(height) * width);
}

TEST(SerialSections, AreHardForAThresholdButShowMembranes) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const SerialSection made = SerialSections(small(seed)).section(2);
    double best = 1;
    for (int radius = 1; radius <= 3; ++radius)
      best = std::min(best, best_threshold_error(made, 192, 256, radius));
    // The sections of ISBI 2012 give 0.15 to 0.16.
    EXPECT_GT(best, 0.12) << "seed " << seed;
    // The images are informative: the threshold is better than classifying all as cell, and membranes are
    // darker.
    std::array<double, 2> sum{};
    std::array<std::int64_t, 2> count{};
    for (std::size_t i = 0; i < made.raw.size(); ++i) {
      const std::size_t kind = made.cells[i] != 0 ? 1 : 0;
      sum[kind] += made.raw[i];
      ++count[kind];
    }
    const double membrane_fraction = static_cast<double>(count[0]) / static_cast<double>(made.raw.size());
    EXPECT_LT(best, membrane_fraction - 0.01) << "seed " << seed;
    EXPECT_GT(sum[1] / static_cast<double>(count[1]), sum[0] / static_cast<double>(count[0]) + 25)
        << "seed " << seed;
  }
}

TEST(SerialSections, RejectInvalidOptions) {
  SerialSectionsOptions options = small(1);
  options.shape.y = 0;
  EXPECT_THROW(SerialSections{options}, UsageError);
  options = small(1);
  options.cell_size_px = 3;
  EXPECT_THROW(SerialSections{options}, UsageError);
}

}  // namespace
}  // namespace tessera
