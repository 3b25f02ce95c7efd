#include "workers/mpi/communicator.h"

#include <functional>

#include "io/base/error.h"
#include "mpi_calls.h"
#include "ranks.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

using testing::world;

TEST(Communicator, SumsOverAllRanks) {
  std::vector<double> values(1000, world().rank() + 1.0);
  world().sum(std::span(values));
  const double expected = world().size() * (world().size() + 1) / 2.0;
  for (const double value : values)
    ASSERT_EQ(value, expected);
}

TEST(Communicator, BroadcastsTextOfAnyLength) {
  std::string text = world().is_root() ? std::string(3'000'000, 'x') + "end" : "other";
  world().broadcast(text);
  EXPECT_EQ(text.size(), 3'000'003U);
  EXPECT_EQ(text.substr(3'000'000), "end");
  std::string empty = world().is_root() ? "" : "something";
  world().broadcast(empty);
  EXPECT_EQ(empty, "");
}

TEST(Communicator, GathersInRankOrder) {
  const auto texts = world().all_gather("rank " + std::to_string(world().rank()));
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(world().size()));
  for (int rank = 0; rank < world().size(); ++rank) {
    EXPECT_EQ(texts[static_cast<std::size_t>(rank)], "rank " + std::to_string(rank));
  }
}

/// A text whose length and characters depend on the rank.
std::string text_of(int rank, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>(i * 31 + static_cast<std::size_t>(rank));
  return text;
}

void expect_gathered(const std::function<std::size_t(int)>& size_of_rank) {
  const auto expected = [&](int rank) { return text_of(rank, size_of_rank(rank)); };
  const auto texts = world().all_gather(expected(world().rank()));
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(world().size()));
  for (int rank = 0; rank < world().size(); ++rank)
    ASSERT_TRUE(texts[static_cast<std::size_t>(rank)] == expected(rank)) << "of rank " << rank;
}

TEST(Communicator, GathersEmptyUnequalAndLargeTexts) {
  const int last = world().size() - 1;
  expect_gathered([](int) { return 0; });
  expect_gathered([&](int rank) { return rank == last ? 1000 : 0; });
  expect_gathered([](int rank) { return static_cast<std::size_t>(100'000 * rank + 7); });
  // More than one round: together over kGatherBytes.
  expect_gathered(
      [](int rank) { return Communicator::kGatherBytes + static_cast<std::size_t>(rank) * 12'345; });
  expect_gathered([&](int rank) { return rank == last ? Communicator::kGatherBytes + 1 : 0; });
}

TEST(Communicator, GathersWithTwoCollectives) {
  const int before = testing::mpi_collectives();
  world().all_gather("rank " + std::to_string(world().rank()));
  const int started = testing::mpi_collectives() - before;
  EXPECT_LE(started, 2);
  if (world().size() > 1) {
    EXPECT_GE(started, 1) << "the calls are not counted";
  }
}

TEST(Communicator, FindsMinimumAndMaxima) {
  EXPECT_EQ(world().minimum(100 + world().rank()), 100);
  EXPECT_EQ(world().minimum(-world().rank()), 1 - world().size());
  std::vector<double> values{static_cast<double>(world().rank()), -static_cast<double>(world().rank())};
  world().maximum(std::span(values));
  EXPECT_EQ(values, (std::vector<double>{static_cast<double>(world().size() - 1), 0.0}));
}

TEST(Communicator, FindsTheRanksOfThisNode) {
  const Communicator node = world().node();
  EXPECT_EQ(node.size(), world().size());
  EXPECT_EQ(node.rank(), world().rank());
  EXPECT_EQ(node.minimum(world().rank()), 0) << "it can communicate";
}

TEST(Communicator, AnyIncludesTheLastRank) {
  EXPECT_TRUE(world().any(world().rank() == world().size() - 1));
  EXPECT_FALSE(world().any(false));
}

TEST(Agree, OneRanksErrorIsThrownOnEveryRank) {
  const int last = world().size() - 1;
  try {
    on_every_rank(world(), [&] {
      if (world().rank() == last) throw UsageError("only the last rank knows");
    });
    FAIL() << "nothing was thrown";
  } catch (const UsageError& error) {
    std::string expected = "only the last rank knows";
    if (last > 1) expected += " (on rank " + std::to_string(last) + " on " + host_name() + " alone)";
    EXPECT_EQ(error.what(), expected);
  }
}

TEST(Agree, TheRootsErrorIsThrownOnEveryRank) {
  int runs = 0;
  EXPECT_THROW(on_root(world(),
                       [&] {
                         ++runs;
                         throw Error("the root's");
                       }),
               AgreedError);
  EXPECT_EQ(runs, world().is_root() ? 1 : 0);
}

TEST(Agree, KeepsTheErrorType) {
  EXPECT_THROW(on_every_rank(world(), [] { throw StoppedEarly("stop"); }), StoppedEarly);
  EXPECT_THROW(on_every_rank(world(), [] { throw std::bad_alloc(); }), Error);
  EXPECT_NO_THROW(on_every_rank(world(), [] {}));
}

}  // namespace
}  // namespace tessera
