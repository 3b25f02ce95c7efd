#include "workers/mpi/nccl_sum.h"

#include <ATen/Functions.h>
#include <gmock/gmock.h>

#include <vector>

#include "ranks.h"
#include "workers/gradients/nccl_exchange.h"

namespace tessera {
namespace {

using testing::world;

// A stub library replaces NCCL and sums by MPI, so no GPU is needed. The test checks the calls, their order
// and their arguments.
TEST(NcclSum, SumsInPlaceOnEveryWorker) {
  if (world().size() == 1) GTEST_SKIP() << "one worker has nothing to sum";
  std::string reason;
  const auto nccl = NcclSum::create(world(), TESSERA_STAND_IN_NCCL, reason);
  ASSERT_NE(nccl, nullptr) << reason;
  std::vector<float> values{1, 2, static_cast<float>(world().rank())};
  nccl->sum(values.data(), values.size());
  const auto n = static_cast<float>(world().size());
  EXPECT_EQ(values, (std::vector<float>{n, 2 * n, n * (n - 1) / 2}));
}

// The CPU has no streams. The test checks the sums. It also checks that every worker sends the same buckets,
// each once, independent of how its front advances.
TEST(NcclExchange, SumsInBucketsWhileTheFrontGrows) {
  if (world().size() == 1) GTEST_SKIP() << "one worker has nothing to sum";
  std::string reason;
  auto nccl = NcclSum::create(world(), TESSERA_STAND_IN_NCCL, reason);
  ASSERT_NE(nccl, nullptr) << reason;
  NcclExchange exchange(std::move(nccl), at::kCPU, 100);
  EXPECT_EQ(exchange.text(), "NCCL, after the backward pass");
  const auto n = static_cast<float>(world().size());
  for (const std::int64_t size : {0, 1, 99, 100, 101, 1234}) {
    const at::Tensor values = at::arange(size, at::kFloat).add(world().rank());
    at::Tensor scalars = at::full({3}, 0.1 * world().rank(), at::kDouble);
    exchange.begin(values);
    // Each worker has its own pace; one of them never advances.
    for (std::int64_t front = 0; world().rank() > 0 && front <= size; front += 1 + 61 * world().rank())
      exchange.ready(front);
    exchange.finish(scalars);
    EXPECT_TRUE(values.equal(at::arange(size, at::kFloat).mul(n).add(n * (n - 1) / 2))) << size;
    EXPECT_NEAR(scalars[2].item<double>(), 0.1 * n * (n - 1) / 2, 1e-12);
  }
}

TEST(NcclSum, IsUnusedUnlessEveryWorkerHasIt) {
  if (world().size() == 1) GTEST_SKIP() << "one worker has nothing to sum";
  std::string reason;
  const bool lacking = world().rank() == world().size() - 1;
  EXPECT_EQ(NcclSum::create(world(), lacking ? "libno-such-nccl.so" : TESSERA_STAND_IN_NCCL, reason),
            nullptr);
  EXPECT_THAT(reason, ::testing::HasSubstr(lacking ? "libno-such-nccl.so" : "another worker lacks it"));
}

}  // namespace
}  // namespace tessera
