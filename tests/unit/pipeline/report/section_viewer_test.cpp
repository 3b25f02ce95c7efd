#include "pipeline/report/section_viewer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pipeline/report/section_pictures.h"

namespace tessera {
namespace {

SectionLayers layers(std::int64_t height, std::int64_t width) {
  const auto pixels = static_cast<std::size_t>(height * width);
  return {height,
          width,
          std::vector<float>(pixels, 1.0F),
          true,
          std::vector<std::uint8_t>(pixels, 1),
          std::vector<double>(pixels, 0.9)};
}

std::size_t occurrences(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
    ++found;
  return found;
}

TEST(SectionViewer, HasFullResolutionAndNoScript) {
  const std::string html = section_viewer("a", "Section 4: F 0.9", layers(20, 30), 0.5).str();
  EXPECT_EQ(occurrences(html, "<img "), 4U);
  EXPECT_EQ(occurrences(html, "width=\"30\" height=\"20\""), 4U);
  EXPECT_EQ(occurrences(html, "<input "), 4U);
  EXPECT_EQ(occurrences(html, "<script"), 0U);
}

TEST(SectionViewer, LargeSectionsAreScaledWithADetailOfTheErrors) {
  SectionLayers large = layers(2000, 2000);
  large.probability[1500 * 2000 + 900] = 0.1;  // the only error
  const std::string html = section_viewer("a", "Section 4, the worst: F 0.9", large, 0.5).str();
  EXPECT_EQ(occurrences(html, "width=\"1000\" height=\"1000\""), 4U);
  EXPECT_EQ(occurrences(html, "width=\"640\" height=\"640\""), 4U);
  EXPECT_NE(html.find("scaled to 1/2"), std::string::npos);
  EXPECT_NE(html.find("y 960 to 1599, x 320 to 959"), std::string::npos)
      << html.substr(html.find("The detail"), 120);
}

TEST(SectionPictures, OverlayIsTransparentWhereNothingIsWrong) {
  const std::vector<OverlayClass> classes{OverlayClass::none, OverlayClass::lost_membrane};
  const std::vector<std::byte> png = png_of_overlay(classes, 1, 2);
  const std::string bytes(reinterpret_cast<const char*>(png.data()), png.size());
  EXPECT_NE(bytes.find("PLTE"), std::string::npos);
  EXPECT_NE(bytes.find("tRNS"), std::string::npos);
}

}  // namespace
}  // namespace tessera
