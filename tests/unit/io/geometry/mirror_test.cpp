#include "io/geometry/mirror.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace tessera {
namespace {

TEST(Mirror, FollowsNumpyReflect) {
  // numpy.pad(numpy.arange(4), 7, mode="reflect")
  const std::vector<std::int64_t> expected{1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(mirror_index(static_cast<std::int64_t>(i) - 7, 4), expected[i]) << "at " << i;
  }
}

TEST(Mirror, OneVoxelIsEverywhere) {
  for (std::int64_t i = -5; i <= 5; ++i)
    EXPECT_EQ(mirror_index(i, 1), 0);
}

TEST(Mirror, SourceHoldsWhatTheBoxShows) {
  const Index3 shape{3, 7, 20};
  for (std::int64_t begin = -30; begin < 40; ++begin) {
    for (std::int64_t side = 1; side < 45; side += 4) {
      const Box box{{0, begin, begin}, {3, begin + side, begin + side}};
      const Box source = mirrored_source(box, shape);
      EXPECT_TRUE(Box::of_shape(shape).contains(source));
      for (int axis = 0; axis < 3; ++axis) {
        bool low = false, high = false;
        for (std::int64_t i = box.begin[axis]; i < box.end[axis]; ++i) {
          const std::int64_t at = mirror_index(i, shape[axis]);
          ASSERT_GE(at, source.begin[axis]);
          ASSERT_LT(at, source.end[axis]);
          low = low || at == source.begin[axis];
          high = high || at == source.end[axis] - 1;
        }
        EXPECT_TRUE(low && high) << "the source is larger than it needs to be";
      }
    }
  }
}

TEST(Mirror, CutBoxesFollowMirrorIndex) {
  const Index3 shape{3, 5, 7};
  VoxelBuffer volume(VoxelType::uint8, shape);
  std::iota(volume.as<std::uint8_t>().begin(), volume.as<std::uint8_t>().end(), std::uint8_t{0});
  std::int64_t compared = 0;
  for (const Box& box :
       {Box{{0, -3, -4}, {3, 8, 11}}, Box{{-1, 1, 1}, {1, 3, 4}}, Box{{1, 6, 8}, {5, 9, 30}},
        Box{{0, -20, -25}, {1, -4, -9}}, Box{{1, 2, -2}, {2, 3, 40}}, Box{{0, 0, 0}, {3, 5, 7}}}) {
    const Box source = mirrored_source(box, shape);
    const VoxelBuffer held = cut_mirrored(volume, Box::of_shape(shape), source, shape);
    const VoxelBuffer cut = cut_mirrored(held, source, box, shape);
    ASSERT_EQ(cut.shape, box.shape());
    const auto voxels = cut.as<std::uint8_t>();
    std::size_t i = 0;
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
        for (std::int64_t x = box.begin.x; x < box.end.x; ++x, ++i) {
          const std::int64_t expected =
              (mirror_index(z, shape.z) * shape.y + mirror_index(y, shape.y)) * shape.x +
              mirror_index(x, shape.x);
          ASSERT_EQ(voxels[i], expected) << to_string(box) << " at " << to_string(Index3{z, y, x});
          ++compared;
        }
      }
    }
  }
  EXPECT_GT(compared, 1000);
}

}  // namespace
}  // namespace tessera
