#include "workers/synthetic/dic_cells.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>

#include "io/base/error.h"

namespace tessera {
namespace {

SerialSectionsOptions few_cells(std::uint64_t seed) {
  SerialSectionsOptions options;
  options.shape = {3, 240, 250};
  options.seed = seed;
  options.cell_size_px = 80;
  return options;
}

TEST(DicCells, DoNotDependOnTheOrderAndDifferByFrameAndSeed) {
  const DicCells cells(few_cells(3)), others(few_cells(4));
  const SerialSection last = cells.section(2), first = cells.section(0);
  EXPECT_EQ(first.raw, DicCells(few_cells(3)).section(0).raw);
  EXPECT_EQ(last.instances, DicCells(few_cells(3)).section(2).instances);
  EXPECT_NE(first.raw, last.raw);
  EXPECT_NE(first.instances, others.section(0).instances);
}

TEST(DicCells, HaveBackgroundAndCellsThatDoNotTouch) {
  const SerialSectionsOptions options = few_cells(5);
  const SerialSection frame = DicCells(options).section(1);
  std::map<std::uint64_t, int> sizes;
  const auto width = static_cast<std::size_t>(options.shape.x);
  for (std::size_t i = 0; i < frame.instances.size(); ++i) {
    const std::uint64_t id = frame.instances[i];
    ++sizes[id];
    EXPECT_EQ(frame.cells[i], id == 0 ? 0 : 255);
    if (id == 0) continue;
    const std::uint64_t right = (i + 1) % width == 0 ? 0 : frame.instances[i + 1];
    const std::uint64_t below = i + width < frame.instances.size() ? frame.instances[i + width] : 0;
    ASSERT_TRUE(right == 0 || right == id) << i;
    ASSERT_TRUE(below == 0 || below == id) << i;
  }
  EXPECT_GE(sizes.size(), 5U);
  EXPECT_GT(sizes[0], 2000);
  EXPECT_LT(sizes[0], 50000);
}

/// The shading of DIC: a cell is brighter where it rises from the upper left, and darker where it falls to
/// the lower right, and its inside is about as grey as the background.
TEST(DicCells, AreBrightOnOneSideAndDarkOnTheOther) {
  const SerialSectionsOptions options = few_cells(6);
  const auto width = static_cast<std::size_t>(options.shape.x);
  double rising = 0, falling = 0, inside = 0, background = 0;
  std::size_t risings = 0, fallings = 0, insides = 0, backgrounds = 0;
  for (std::int64_t z = 0; z < options.shape.z; ++z) {
    const SerialSection frame = DicCells(options).section(z);
    const std::size_t far = 8 * (width + 1);
    for (std::size_t i = far; i + far < frame.raw.size(); ++i) {
      const auto id = [&](std::size_t at) { return frame.instances[at]; };
      const std::size_t near = 2 * (width + 1);
      if (id(i - near) == 0 && id(i) != 0 && id(i) == id(i + far)) rising += frame.raw[i], ++risings;
      if (id(i + near) == 0 && id(i) != 0 && id(i) == id(i - far)) falling += frame.raw[i], ++fallings;
      if (id(i) != 0 && id(i) == id(i - far) && id(i) == id(i + far)) inside += frame.raw[i], ++insides;
      if (id(i) == 0 && id(i - far) == 0 && id(i + far) == 0) background += frame.raw[i], ++backgrounds;
    }
  }
  ASSERT_GT(std::min({risings, fallings, insides, backgrounds}), 100U);
  const double grey = background / static_cast<double>(backgrounds);
  EXPECT_GT(rising / static_cast<double>(risings), grey + 15);
  EXPECT_LT(falling / static_cast<double>(fallings), grey - 15);
  EXPECT_NEAR(inside / static_cast<double>(insides), grey, 8);
}

TEST(DicCells, RejectImpossibleOptions) {
  SerialSectionsOptions options = few_cells(1);
  options.cell_size_px = 3;
  EXPECT_THROW(DicCells{options}, UsageError);
}

}  // namespace
}  // namespace tessera
