#include "pipeline/run/overlay.h"

#include <gtest/gtest.h>

#include <limits>

#include "workers/metrics/ignored_class.h"

namespace tessera {
namespace {

std::vector<int> pixel(const RgbImage& image, std::int64_t y, std::int64_t x) {
  const auto at = static_cast<std::size_t>((y * image.width + x) * 3);
  return {image.pixels.at(at), image.pixels.at(at + 1), image.pixels.at(at + 2)};
}

TEST(Overlay, StretchIgnoresOutliersAndNan) {
  std::vector<float> raw(1000, 50.0F);
  for (std::size_t i = 0; i < 500; ++i)
    raw[i] = 10.0F;
  raw[0] = -1e9F;
  raw[1] = 1e9F;
  raw[2] = std::numeric_limits<float>::quiet_NaN();
  const auto grey = stretched_grey(raw);
  EXPECT_EQ(grey[0], 0);
  EXPECT_EQ(grey[1], 255);
  EXPECT_EQ(grey[2], 0);
  EXPECT_EQ(grey[10], 0);
  EXPECT_EQ(grey[900], 255);
  EXPECT_EQ(stretched_grey(std::vector<float>(4, 7.0F)), std::vector<std::uint8_t>(4, 0));
  EXPECT_EQ(stretched_grey({}), std::vector<std::uint8_t>{});
}

TEST(Overlay, EveryOutcomeHasItsColour) {
  const std::vector<std::uint8_t> grey(5, 100), truth{1, 1, 0, 0, kIgnoredClass};
  const std::vector<double> probability{0.9, 0.5, 0.9, 0.1, 0.9};
  const RgbImage image = error_overlay(grey, truth, probability, 0.5, 1, 5);
  EXPECT_EQ(pixel(image, 0, 0), (std::vector<int>{100, 100, 100}));  // correct interior: unchanged
  EXPECT_EQ(pixel(image, 0, 1), (std::vector<int>{90, 160, 200}));   // missed interior: sky blue
  EXPECT_EQ(pixel(image, 0, 2), (std::vector<int>{185, 96, 25}));    // missed membrane: vermilion
  EXPECT_EQ(pixel(image, 0, 3), (std::vector<int>{163, 158, 85}));   // correct membrane: yellow
  EXPECT_EQ(pixel(image, 0, 4), (std::vector<int>{55, 55, 55}));     // not annotated: dark
}

TEST(Overlay, PanelsAreSideBySide) {
  const std::vector<float> raw{0, 1, 0, 1};
  const RgbImage picture = side_by_side(
      section_panels(raw, std::vector<std::uint8_t>{1, 0, 1, 0}, std::vector<double>{1, 1, 0, 0}, 0.5, 2, 2));
  ASSERT_EQ(picture.height, 2);
  ASSERT_EQ(picture.width, 3 * 2 + 2 * 6);
  EXPECT_EQ(pixel(picture, 0, 1), (std::vector<int>{255, 255, 255}));
  EXPECT_EQ(pixel(picture, 0, 4), (std::vector<int>{255, 255, 255})) << "the gap";
  EXPECT_EQ(pixel(picture, 0, 8), (std::vector<int>{255, 255, 255})) << "the label's interior";
  EXPECT_EQ(pixel(picture, 1, 9), (std::vector<int>{0, 0, 0})) << "the label's membrane";
  EXPECT_EQ(pixel(picture, 0, 16), (std::vector<int>{0, 0, 0})) << "correct interior over black";
}

TEST(Overlay, LargeSectionsAreScaledDown) {
  const std::size_t pixels = 10 * 2049;
  const std::vector<std::uint8_t> truth(pixels, 1);
  const RgbImage picture = side_by_side(
      section_panels(std::vector<float>(pixels, 1), truth, std::vector<double>(pixels, 1), 0.5, 10, 2049));
  EXPECT_EQ(picture.height, 4);
  EXPECT_EQ(picture.width, 3 * 683 + 12);
  EXPECT_EQ(pixel(picture, 3, 683 + 6), (std::vector<int>{255, 255, 255}));
}

}  // namespace
}  // namespace tessera
