#include "workers/mpi/nccl_sum.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>

#include <vector>

#include "ranks.h"
#include "workers/gradients/nccl_reducer.h"

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

// On the CPU there are no streams: what is tested is that every worker sends the same buckets, each once,
// whatever was said of its front, and what comes of them.
TEST(NcclReducer, SumsInBucketsWhileTheFrontGrows) {
  if (world().size() == 1) GTEST_SKIP() << "one worker sums nothing";
  std::string reason;
  auto nccl = NcclSum::create(world(), TESSERA_STAND_IN_NCCL, reason);
  ASSERT_NE(nccl, nullptr) << reason;
  NcclReducer reducer(std::move(nccl), at::kCPU, 100);
  EXPECT_FALSE(reducer.overlaps());
  const auto n = static_cast<float>(world().size());
  for (const std::int64_t size : {0, 1, 99, 100, 101, 1234}) {
    const at::Tensor values = at::arange(size, at::kFloat).add(world().rank());
    at::Tensor scalars = at::full({3}, 0.1 * world().rank(), at::kDouble);
    reducer.begin(values);
    // Each worker at its own pace, one of them not at all.
    for (std::int64_t front = 0; world().rank() > 0 && front <= size; front += 1 + 61 * world().rank())
      reducer.ready(front);
    reducer.finish(scalars);
    EXPECT_TRUE(values.equal(at::arange(size, at::kFloat).mul(n).add(n * (n - 1) / 2))) << size;
    EXPECT_NEAR(scalars[2].item<double>(), 0.1 * n * (n - 1) / 2, 1e-12);
  }
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
