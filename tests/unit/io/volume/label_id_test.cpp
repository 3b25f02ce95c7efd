#include "io/volume/label_id.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

constexpr LabelId kLargest = 0xffffffffffffffff;

TEST(LabelId, EveryNumberOf64BitsIsAnId) {
  EXPECT_EQ(parse_label_id("0"), LabelId{0});
  EXPECT_EQ(parse_label_id("18446744073709551615"), kLargest);
  EXPECT_EQ(parse_label_id("-1"), kLargest);
  EXPECT_EQ(parse_label_id("-9223372036854775808"), LabelId{1} << 63);
  for (const char* wrong : {"", "-", "1.0", "1e3", "0x1f", "18446744073709551616", "-9223372036854775809",
                            "1 ", " 1", "+1", "one"}) {
    EXPECT_EQ(parse_label_id(wrong), std::nullopt) << wrong;
  }
}

TEST(LabelId, NegativeIdsAreMarks) {
  EXPECT_EQ(label_id_text(7), "7");
  EXPECT_EQ(label_id_text(kLargest), "18446744073709551615 (-1 in signed labels)");
  EXPECT_EQ(label_id_text(LabelId{1} << 63), "9223372036854775808") << "ids that are hashes are cells";
  EXPECT_TRUE(is_negative_id(static_cast<LabelId>(std::int64_t{-2147483648})));
  EXPECT_FALSE(is_negative_id(static_cast<LabelId>(std::int64_t{-2147483649})));
}

}  // namespace
}  // namespace tessera
