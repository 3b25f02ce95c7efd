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

TEST(NearestWord, FindsAWordByItsBegin) {
  const std::vector<std::string> keys{"mpi", "qos", "time", "gpus_per_node", "cpus_per_task"};
  EXPECT_EQ(nearest_word("gpus", keys), "gpus_per_node");
  EXPECT_EQ(nearest_word("gpu", keys), "gpus_per_node") << "not mpi, two letters away";
  EXPECT_EQ(nearest_word("time_limit", keys), "time");
  EXPECT_EQ(nearest_word("tim", keys), "time");
  EXPECT_EQ(nearest_word("timeless_words", keys), std::nullopt);
}

}  // namespace
}  // namespace tessera
