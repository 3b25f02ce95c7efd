#include "workers/train/validation_share.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tessera {
namespace {

struct Shares {
  std::vector<double> pixels;  ///< of each worker
  int cuts = 0;
};

/// Checks that every row is some worker's once, in order, and cut on the grid.
Shares checked(const std::vector<SectionRows>& sections, std::int64_t alignment, int workers) {
  const std::vector<SectionBand> bands = share_rows(sections, alignment, workers);
  Shares shares{std::vector<double>(static_cast<std::size_t>(workers), 0), 0};
  std::size_t next = 0;
  int worker = 0;
  for (std::size_t s = 0; s < sections.size(); ++s) {
    std::int64_t row = sections[s].begin;
    while (row < sections[s].end && next < bands.size()) {
      const SectionBand& band = bands[next++];
      EXPECT_EQ(band.section, s);
      EXPECT_EQ(band.begin, row);
      EXPECT_GT(band.end, band.begin);
      EXPECT_LE(band.end, sections[s].end);
      EXPECT_TRUE(band.begin == sections[s].begin || band.begin % alignment == 0) << band.begin;
      EXPECT_GE(band.worker, worker);
      shares.cuts += band.begin != sections[s].begin ? 1 : 0;
      EXPECT_TRUE(band.begin == sections[s].begin || band.worker > worker)
          << "bands of a section are of several";
      worker = band.worker;
      shares.pixels.at(static_cast<std::size_t>(worker)) +=
          static_cast<double>((band.end - band.begin) * sections[s].width);
      row = band.end;
    }
    EXPECT_EQ(row, sections[s].end);
  }
  EXPECT_EQ(next, bands.size());
  return shares;
}

TEST(ValidationShare, FewerSectionsThanWorkersAreCut) {
  const Shares one = checked({{0, 512, 512}}, 16, 4);
  EXPECT_EQ(one.cuts, 3);
  for (const double pixels : one.pixels)
    EXPECT_EQ(pixels, 128 * 512);
  const Shares two = checked({{0, 100, 60}, {0, 100, 60}}, 4, 3);
  EXPECT_EQ(two.cuts, 2);
  for (const double pixels : two.pixels)
    EXPECT_NEAR(pixels, 4000, 2 * 60 * 4);
  checked({{5, 99, 60}}, 16, 7);
  checked({{0, 7, 9}}, 16, 3);
}

TEST(ValidationShare, SectionsThatFitTheWorkersAreNotCut) {
  for (const int workers : {1, 2, 4}) {
    const Shares shares = checked(std::vector<SectionRows>(8, {0, 512, 512}), 16, workers);
    EXPECT_EQ(shares.cuts, 0);
    for (const double pixels : shares.pixels)
      EXPECT_EQ(pixels, 8.0 / workers * 512 * 512);
  }
}

TEST(ValidationShare, SectionsOfAllSizesAreBalanced) {
  std::vector<SectionRows> sections;
  for (std::int64_t i = 0; i < 31; ++i)
    sections.push_back({i, i + 100 + 37 * (i % 11), 50 + 31 * (i % 7)});
  for (const int workers : {1, 2, 3, 4, 8, 64}) {
    const Shares shares = checked(sections, 8, workers);
    const auto [least, most] = std::minmax_element(shares.pixels.begin(), shares.pixels.end());
    double total = 0;
    for (const double pixels : shares.pixels)
      total += pixels;
    EXPECT_LE(shares.cuts, workers - 1);
    if (workers > 8) continue;  // bands of a few rows
    EXPECT_LT(*most, 1.3 * total / workers) << workers;
    EXPECT_GT(*least, 0.7 * total / workers) << workers;
  }
}

}  // namespace
}  // namespace tessera
