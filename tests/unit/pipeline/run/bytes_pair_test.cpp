#include "pipeline/run/bytes_pair.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

using Texts = std::pair<std::string, std::string>;

TEST(BytesPair, HasAsManyDigitsAsItNeeds) {
  const std::int64_t gib = std::int64_t{1} << 30;
  EXPECT_EQ(bytes_pair(21 * gib, 12 * gib), (Texts{"21 GiB", "12 GiB"}));
  EXPECT_EQ(bytes_pair(21 * gib + gib / 4, 21 * gib), (Texts{"21.2 GiB", "21.0 GiB"}));
  EXPECT_EQ(bytes_pair(21 * gib + gib / 400, 21 * gib), (Texts{"21.002 GiB", "21.000 GiB"}));
  EXPECT_EQ(bytes_pair(gib, gib), (Texts{"1.0 GiB", "1.0 GiB"}));
  EXPECT_EQ(bytes_pair(12, 0), (Texts{"12 B", "0 B"}));
}

}  // namespace
}  // namespace tessera
