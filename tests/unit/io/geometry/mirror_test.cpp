#include "io/geometry/mirror.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tessera
