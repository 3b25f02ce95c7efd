#include "io/base/nearest_word.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(NearestWord, FindsTheMisspeltWord) {
  EXPECT_EQ(nearest_word("iteratoins", {"seed", "iterations", "minutes"}), "iterations");
  EXPECT_EQ(nearest_word("", {"ab", "abcd"}), "ab");
  EXPECT_EQ(nearest_word("sed", {"seed", "shed"}), "seed") << "the first of equally close ones";
}

TEST(NearestWord, NothingWhenNoneIsClose) {
  EXPECT_EQ(nearest_word("threads", {"seed", "minutes"}), std::nullopt);
  EXPECT_EQ(nearest_word("threads", {}), std::nullopt);
}

}  // namespace
}  // namespace tessera
