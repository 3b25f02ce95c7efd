#include "io/volume/finite_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;

TEST(FiniteCheck, CountsAndNamesNanAndInfinity) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInfinity = std::numeric_limits<float>::infinity();
  const DatasetName name{"a.h5", "/v"};
  const Box box{{1, 0, 0}, {2, 2, 2}};
  VoxelBuffer buffer(VoxelType::float32, box.shape());
  EXPECT_EQ(message_of([&] { require_finite(buffer, box, name); }), "no error");
  std::ranges::copy(std::initializer_list<float>{4, kNan, 6, -kInfinity}, buffer.as<float>().begin());
  EXPECT_EQ(find_non_finite(buffer).count, 2);
  EXPECT_EQ(find_non_finite(buffer).first, (Index3{0, 0, 1}));
  EXPECT_THAT(message_of([&] { require_finite(buffer, box, name); }),
              AllOf(HasSubstr("a.h5:/v"), HasSubstr("2 NaN or infinite values"),
                    HasSubstr("the first at (1, 0, 1)")));
}

}  // namespace
}  // namespace tessera
