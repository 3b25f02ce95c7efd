#include "io/geometry/axis_order.h"

#include <gmock/gmock.h>

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

/// Voxels of a source whose value is 100 z + 10 y + x.
VoxelBuffer numbered(const Index3& source_shape, const AxisOrder& order) {
  VoxelBuffer voxels(VoxelType::uint16, source_shape, 2);
  auto values = voxels.as<std::uint16_t>();
  std::size_t i = 0;
  for (int channel = 0; channel < 2; ++channel) {
    for (std::int64_t a = 0; a < source_shape.z; ++a) {
      for (std::int64_t b = 0; b < source_shape.y; ++b) {
        for (std::int64_t c = 0; c < source_shape.x; ++c) {
          const Index3 zyx = order.sorted(Index3{a, b, c});
          values[i++] = static_cast<std::uint16_t>(1000 * channel + 100 * zyx.z + 10 * zyx.y + zyx.x);
        }
      }
    }
  }
  return voxels;
}

TEST(AxisOrder, SortsEveryOrder) {
  const Index3 shape{2, 3, 4};
  for (const char* text : {"zyx", "zxy", "yzx", "yxz", "xzy", "xyz"}) {
    const AxisOrder order(text);
    EXPECT_EQ(order.is_zyx(), std::string(text) == "zyx");
    const Index3 source = order.unsorted(shape);
    EXPECT_EQ(order.sorted(source), shape) << text;
    const VoxelBuffer sorted = order.sorted(numbered(source, order));
    ASSERT_EQ(sorted.shape, shape);
    const VoxelBuffer expected = numbered(shape, AxisOrder("zyx"));
    EXPECT_EQ(sorted.bytes, expected.bytes) << text;
  }
  EXPECT_EQ(AxisOrder("yxz").sorted(Index3{512, 500, 20}), (Index3{20, 512, 500}));
}

TEST(AxisOrder, RejectsOtherWords) {
  for (const char* text : {"", "zy", "zzyx", "yxy", "abc"})
    EXPECT_THAT(message_of([&] { AxisOrder{text}; }), HasSubstr("write the letters z, y and x"));
}

TEST(AxisOrderDoubt, IsAboutAShortLastAxis) {
  EXPECT_THAT(axis_order_doubt({512, 512, 20}),
              HasSubstr("(512, 512, 20): the last axis is by far the shortest"));
  for (const Index3& usual :
       {Index3{20, 512, 512}, Index3{512, 512, 200}, Index3{1, 512, 20}, Index3{8, 8, 8}})
    EXPECT_EQ(axis_order_doubt(usual), "") << to_string(usual);
}

}  // namespace
}  // namespace tessera
