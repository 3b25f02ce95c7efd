#include "workers/mpi/communicator.h"

#include "io/base/error.h"
#include "ranks.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

const Communicator& world() {
  return *testing::world_of_tests;
}

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

TEST(Communicator, AnyHearsTheLastRank) {
  EXPECT_TRUE(world().any(world().rank() == world().size() - 1));
  EXPECT_FALSE(world().any(false));
}

TEST(Agree, OneRanksErrorIsEverybodys) {
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

TEST(Agree, TheRootsErrorIsEverybodys) {
  int runs = 0;
  EXPECT_THROW(on_root(world(),
                       [&] {
                         ++runs;
                         throw Error("the root's");
                       }),
               AgreedError);
  EXPECT_EQ(runs, world().is_root() ? 1 : 0);
}

TEST(Agree, KindsSurvive) {
  EXPECT_THROW(on_every_rank(world(), [] { throw StoppedEarly("stop"); }), StoppedEarly);
  EXPECT_THROW(on_every_rank(world(), [] { throw std::bad_alloc(); }), Error);
  EXPECT_NO_THROW(on_every_rank(world(), [] {}));
}

}  // namespace
}  // namespace tessera
