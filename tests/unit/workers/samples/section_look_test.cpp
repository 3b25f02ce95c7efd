#include "workers/samples/section_look.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kLookSide = 40;

/// Square cells of 8 x 8 pixels, with membranes of 2 pixels between them: 1 in the membrane.
std::vector<std::uint8_t> membranes() {
  std::vector<std::uint8_t> mask;
  for (std::int64_t y = 0; y < kLookSide; ++y) {
    for (std::int64_t x = 0; x < kLookSide; ++x)
      mask.push_back(y % 10 < 2 || x % 10 < 2 ? 1 : 0);
  }
  return mask;
}

/// 100 and `more` where the mask is 1.
std::vector<float> greys_on(const std::vector<std::uint8_t>& mask, float more) {
  std::vector<float> greys;
  for (const std::uint8_t one : mask)
    greys.push_back(one == 1 ? 100 + more : 100);
  return greys;
}

bool is_interior(const std::vector<std::uint8_t>& zero, const std::vector<float>& greys, double deviation) {
  ZeroLook look;
  look.add_greys(zero, greys);
  look.add_pieces(zero, kLookSide, kLookSide);
  return look.is_interior(deviation);
}

TEST(SectionLook, BlankSectionsHaveATwentiethOfTheContrast) {
  std::vector<SectionGrey> sections;
  for (std::int64_t z = 0; z < 5; ++z) {
    std::vector<float> greys(100);
    std::iota(greys.begin(), greys.end(), 0.0F);
    if (z == 2) greys.assign(100, 7.0F);
    sections.push_back(SectionGrey::of(z, greys));
  }
  EXPECT_THAT(blank_sections(sections), ElementsAre(2));
  sections.erase(sections.begin() + 2);
  EXPECT_THAT(blank_sections(sections), IsEmpty());
  EXPECT_THAT(blank_sections({}), IsEmpty());
}

TEST(SectionLook, ABrightZeroInManyPiecesIsTheInterior) {
  const std::vector<std::uint8_t> membrane = membranes();
  std::vector<std::uint8_t> interior(membrane.size());
  std::transform(membrane.begin(), membrane.end(), interior.begin(),
                 [](std::uint8_t one) { return 1 - one; });
  EXPECT_TRUE(is_interior(interior, greys_on(membrane, -50), 20));
  EXPECT_FALSE(is_interior(membrane, greys_on(membrane, -50), 20)) << "right labels: membranes are dark";
  EXPECT_FALSE(is_interior(interior, greys_on(membrane, 50), 20)) << "bright membranes";
  EXPECT_FALSE(is_interior(interior, greys_on(membrane, -5), 20)) << "hardly darker";
  EXPECT_FALSE(is_interior(membrane, greys_on(membrane, 50), 20)) << "dark objects in one bright piece";
  std::vector<std::uint8_t> ignored(membrane.size(), 2);
  EXPECT_FALSE(is_interior(ignored, greys_on(membrane, -50), 20));
}

TEST(SectionLook, ExchangedVolumesAreSeenByTheirChanges) {
  VoxelBuffer noise(VoxelType::uint8, {1, kLookSide, kLookSide}),
      areas(VoxelType::uint16, {1, kLookSide, kLookSide});
  std::uint32_t state = 1;
  for (std::uint8_t& voxel : noise.as<std::uint8_t>())
    voxel = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
  for (std::size_t i = 0; i < areas.as<std::uint16_t>().size(); ++i)
    areas.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(i / 10);
  EXPECT_GT(changing_share(noise), 0.9);
  EXPECT_LT(changing_share(areas), 0.1);
  EXPECT_TRUE(look_exchanged(areas, noise, 200));
  EXPECT_FALSE(look_exchanged(areas, noise, 16)) << "few values are classes";
  EXPECT_FALSE(look_exchanged(noise, areas, 200)) << "as they should be";
  EXPECT_FALSE(look_exchanged(noise, noise, 200));
}

}  // namespace
}  // namespace tessera
