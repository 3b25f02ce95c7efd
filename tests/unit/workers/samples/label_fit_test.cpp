#include "workers/samples/label_fit.h"

#include <gtest/gtest.h>

#include <random>

namespace tessera {
namespace {

/// Dark disks of different sizes, in a section without a symmetry: 1 within a disk.
std::vector<std::uint8_t> disks(std::int64_t height, std::int64_t width) {
  std::mt19937 draw(3);
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(height * width), 0);
  for (int disk = 0; disk < 12; ++disk) {
    const auto cy = static_cast<std::int64_t>(draw()) % height,
               cx = static_cast<std::int64_t>(draw()) % width;
    const std::int64_t radius = 4 + static_cast<std::int64_t>(draw() % 6);
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        if ((y - cy) * (y - cy) + (x - cx) * (x - cx) < radius * radius)
          mask[static_cast<std::size_t>(y * width + x)] = 1;
      }
    }
  }
  return mask;
}

/// Grey values of 100 with noise, 60 less where the mask is 1.
std::vector<float> dark_where(const std::vector<std::uint8_t>& mask) {
  std::mt19937 draw(5);
  std::vector<float> greys;
  for (const std::uint8_t one : mask)
    greys.push_back(100 - 60 * one + static_cast<float>(draw() % 21));
  return greys;
}

std::vector<std::uint8_t> turned(const std::vector<std::uint8_t>& mask, std::int64_t side, bool swap,
                                 bool mirror_y, bool mirror_x) {
  std::vector<std::uint8_t> result(mask.size());
  for (std::int64_t y = 0; y < side; ++y) {
    for (std::int64_t x = 0; x < side; ++x) {
      std::int64_t from_y = mirror_y ? side - 1 - y : y, from_x = mirror_x ? side - 1 - x : x;
      if (swap) std::swap(from_y, from_x);
      result[static_cast<std::size_t>(y * side + x)] = mask[static_cast<std::size_t>(from_y * side + from_x)];
    }
  }
  return result;
}

std::string doubt_of(const std::vector<std::uint8_t>& zero, const std::vector<float>& greys,
                     std::int64_t height, std::int64_t width) {
  LabelFit fit;
  for (int section = 0; section < 4; ++section)
    fit.add(zero, greys, height, width);
  return fit.doubt();
}

TEST(LabelFit, NamesTheOrientationInWhichLabelsFit) {
  constexpr std::int64_t kFitSide = 90;
  const std::vector<std::uint8_t> mask = disks(kFitSide, kFitSide);
  const std::vector<float> greys = dark_where(mask);
  EXPECT_EQ(doubt_of(mask, greys, kFitSide, kFitSide), "");
  const auto told = [&](bool swap, bool mirror_y, bool mirror_x) {
    return doubt_of(turned(mask, kFitSide, swap, mirror_y, mirror_x), greys, kFitSide, kFitSide);
  };
  EXPECT_NE(told(false, true, false).find("clearly better mirrored along y:"), std::string::npos);
  EXPECT_NE(told(false, false, true).find("clearly better mirrored along x:"), std::string::npos);
  EXPECT_NE(told(false, true, true).find("better rotated by 180 degrees:"), std::string::npos);
  EXPECT_NE(told(true, false, false).find("better with x and y exchanged:"), std::string::npos);
  EXPECT_NE(told(true, true, true).find("exchanged, then rotated by 180 degrees:"), std::string::npos);
  // A rotation by 90 degrees, which the one in the other sense undoes.
  EXPECT_NE(told(true, true, false).find("exchanged, then mirrored along"), std::string::npos);
}

TEST(LabelFit, SidesMayDiffer) {
  const std::vector<std::uint8_t> mask = disks(60, 110);
  const std::vector<float> greys = dark_where(mask);
  EXPECT_EQ(doubt_of(mask, greys, 60, 110), "");
  std::vector<std::uint8_t> upside_down;
  for (std::size_t row = 60; row-- > 0;)
    upside_down.insert(upside_down.end(), mask.begin() + static_cast<std::ptrdiff_t>(row * 110),
                       mask.begin() + static_cast<std::ptrdiff_t>((row + 1) * 110));
  EXPECT_NE(doubt_of(upside_down, greys, 60, 110).find("mirrored along y"), std::string::npos);
}

TEST(LabelFit, LabelsOfAnotherVolumeFitNowhere) {
  const std::vector<std::uint8_t> mask = disks(90, 90);
  std::mt19937 draw(7);
  std::vector<float> noise(mask.size());
  for (float& grey : noise)
    grey = static_cast<float>(draw() % 256);
  EXPECT_NE(doubt_of(mask, noise, 90, 90).find("do not seem to belong"), std::string::npos);
  EXPECT_EQ(doubt_of(mask, std::vector<float>(mask.size(), 7), 90, 90), "") << "no contrast at all";
  EXPECT_EQ(doubt_of(std::vector<std::uint8_t>(mask.size(), 2), noise, 90, 90), "") << "nothing is annotated";
}

}  // namespace
}  // namespace tessera
