#include "workers/mpi/silence_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr double kLimit_s = 10;

std::vector<std::string> hosts(int ranks) {
  std::vector<std::string> names;
  for (int rank = 0; rank < ranks; ++rank)
    names.push_back("node" + std::to_string(rank));
  return names;
}

/// Looks every half second, and hears these ranks each time. Returns the first message and its time.
std::pair<std::string, double> first_message(SilenceWatch& watch, const std::vector<int>& alive, double end_s,
                                             double begin_s = 0) {
  for (double now_s = begin_s; now_s < end_s; now_s += 0.5) {
    for (const int rank : alive)
      watch.heard(rank, now_s);
    const std::string message = watch.silent(kLimit_s, now_s);
    if (!message.empty()) return {message, now_s};
  }
  return {"", end_s};
}

TEST(SilenceWatch, IsQuietWhileAllAreHeard) {
  SilenceWatch root(0, hosts(3), 0), other(2, hosts(3), 0), alone(0, hosts(1), 0);
  EXPECT_EQ(first_message(root, {1, 2}, 1000).first, "");
  EXPECT_EQ(first_message(other, {0}, 1000).first, "");
  EXPECT_EQ(first_message(alone, {}, 1000).first, "");
}

TEST(SilenceWatch, NamesTheSilentRankAndItsHost) {
  SilenceWatch root(0, hosts(3), 0);
  EXPECT_EQ(first_message(root, {1, 2}, 100).first, "");
  const auto [message, at_s] = first_message(root, {1}, 200, 100);
  EXPECT_THAT(message, StartsWith("rank 2 on node2 was not heard of for 1"));
  EXPECT_GT(at_s, 100 + kLimit_s);
  EXPECT_LT(at_s, 100 + kLimit_s + 7);
}

TEST(SilenceWatch, NamesAllThatAreSilent) {
  SilenceWatch root(0, hosts(9), 0);
  EXPECT_THAT(
      first_message(root, {1, 4}, 100).first,
      StartsWith(
          "rank 2 on node2, rank 3 on node3, rank 5 on node5, rank 6 on node6 and 2 more ranks were not"));
}

TEST(SilenceWatch, NamesTheRankThatKeepsTheOthersWaiting) {
  SilenceWatch root(0, hosts(4), 0);
  for (const int rank : {1, 2, 3})
    root.heard(rank, 1, rank == 2 ? 0.1 : 41);
  EXPECT_EQ(root.standstill(50, 41), "") << "the limit";
  EXPECT_EQ(root.standstill(40, 41), "rank 2 on node2 kept the others waiting for 41 s");
  EXPECT_EQ(root.standstill(40, 0), "rank 0 on node0, rank 2 on node2 kept the others waiting for 41 s");
  root.heard(2, 2, 300);
  EXPECT_EQ(root.standstill(40, 41), "all ranks have waited for one another for 5 min");
  SilenceWatch other(1, hosts(4), 0);
  EXPECT_EQ(other.standstill(40, 300), "");
}

TEST(SilenceLimit, OfCollectivesEndsAStandstillLater) {
  EXPECT_EQ(SilenceLimit::of_collectives(1800, "s").standstill_s, 7200);
  EXPECT_EQ(SilenceLimit::of_collectives(1, "s").standstill_s, 20);
  EXPECT_EQ(SilenceLimit::of_collectives(0, "s").standstill_s, 0) << "for ever";
}

TEST(SilenceWatch, TheLowestRankReportsRankZeroFirst) {
  double before_s = 0;
  for (const int rank : {1, 2, 3, 20}) {
    SilenceWatch watch(rank, hosts(30), 0);
    const auto [message, at_s] = first_message(watch, {}, 100);
    EXPECT_THAT(message, HasSubstr("rank 0 on node0 was not heard of"));
    EXPECT_GT(at_s, before_s);
    before_s = at_s;
  }
}

TEST(SilenceWatch, BlamesNobodyAfterItWasStoppedItself) {
  SilenceWatch root(0, hosts(2), 0);
  EXPECT_EQ(first_message(root, {1}, 10).first, "");
  EXPECT_EQ(root.silent(kLimit_s, 500), "") << "the first look for 490 s";
  EXPECT_EQ(root.silent(kLimit_s, 500.5), "");
  EXPECT_NE(first_message(root, {}, 600, 501).first, "") << "it watches on";
}

TEST(SilenceWatch, WaitsForSomeHeartbeatsUnderAShortLimit) {
  SilenceWatch root(0, hosts(4000), 0);
  EXPECT_EQ(SilenceWatch::interval_s(4000), 4);
  for (double now_s = 0; now_s < 12; now_s += 0.5)
    EXPECT_EQ(root.silent(1.2, now_s), "") << now_s;
}

TEST(SilenceWatch, TimesAreReadable) {
  EXPECT_EQ(silence_text(11.6), "12 s");
  EXPECT_EQ(silence_text(1801), "30 min");
}

}  // namespace
}  // namespace tessera
