#include "workers/mpi/nccl_sum.h"

#include <gmock/gmock.h>

#include <vector>

#include "ranks.h"

namespace tessera {
namespace {

const Communicator& world() {
  return *testing::world_of_tests;
}

// Machines without GPUs have a library in NCCL's place that sums by MPI: the calls, their order and their
// arguments are what is tested.
TEST(NcclSum, SumsInPlaceOnEveryWorker) {
  if (world().size() == 1) GTEST_SKIP() << "one worker sums nothing";
  std::string reason;
  const auto nccl = NcclSum::create(world(), TESSERA_STAND_IN_NCCL, reason);
  ASSERT_NE(nccl, nullptr) << reason;
  std::vector<float> values{1, 2, static_cast<float>(world().rank())};
  nccl->sum(values.data(), values.size());
  const auto n = static_cast<float>(world().size());
  EXPECT_EQ(values, (std::vector<float>{n, 2 * n, n * (n - 1) / 2}));
}

TEST(NcclSum, AWorkerWithoutItMeansNobodyUsesIt) {
  if (world().size() == 1) GTEST_SKIP() << "one worker sums nothing";
  std::string reason;
  const bool lacking = world().rank() == world().size() - 1;
  EXPECT_EQ(NcclSum::create(world(), lacking ? "libno-such-nccl.so" : TESSERA_STAND_IN_NCCL, reason),
            nullptr);
  EXPECT_THAT(reason, ::testing::HasSubstr(lacking ? "libno-such-nccl.so" : "another worker lacks it"));
}

}  // namespace
}  // namespace tessera
