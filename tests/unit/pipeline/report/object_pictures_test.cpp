#include "pipeline/report/object_pictures.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace tessera {
namespace {

TEST(ObjectPictures, AnIdHasOneColourAndNeighboursDiffer) {
  EXPECT_EQ(colour_of_object(17), colour_of_object(17));
  std::set<std::array<std::uint8_t, 3>> colours;
  for (std::uint64_t id = 1; id <= 1000; ++id) {
    const auto colour = colour_of_object(id);
    colours.insert(colour);
    EXPECT_GE(std::max({colour[0], colour[1], colour[2]}), 250) << "a full colour of id " << id;
  }
  EXPECT_GT(colours.size(), 900U);
}

TEST(ObjectPictures, BordersAreStrongerAndNoObjectIsGrey) {
  const std::vector<std::uint64_t> ids{0, 5, 5, 5, 9, 9};
  const std::vector<std::uint8_t> grey(6, 100);
  const RgbImage image = object_overlay(grey, ids, 1, 6);
  ASSERT_EQ(image.pixels.size(), 18U);
  const auto colour = colour_of_object(5);
  const auto distance = [&](std::size_t x) {
    int sum = 0;
    for (std::size_t c = 0; c < 3; ++c)
      sum += std::abs(image.pixels[3 * x + c] - colour[c]);
    return sum;
  };
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_EQ(image.pixels[c], 100) << "no object";
    EXPECT_EQ(image.pixels[3 + c], image.pixels[6 + c]) << "inside of one object";
  }
  EXPECT_LT(distance(3), distance(2)) << "the border to the next object";
}

}  // namespace
}  // namespace tessera
