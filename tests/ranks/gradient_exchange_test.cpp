#include "workers/gradients/gradient_exchange.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>

#include "ranks.h"

namespace tessera {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kBatch = 6, kParameters = 300001;  // not a multiple of the bucket size

using testing::world;

GradientExchangeOptions options_for(bool reproducible, Wire wire = Wire::float32) {
  return {.global_batch = kBatch, .reproducible = reproducible, .wire = wire, .sums_on_device = true};
}

/// One iteration: sample s adds (s + 1) times `ramp` to the gradient, and s + 1 and 1 to the scalars.
void run_iteration(GradientExchange& exchange, const at::Tensor& ramp, at::Tensor& flat, at::Tensor& sums) {
  flat.zero_();
  sums.zero_();
  exchange.begin(flat);
  const SampleRange own = samples_of(kBatch, world().rank(), world().size());
  for (std::int64_t s = own.begin; s < own.end; ++s) {
    flat.add_(ramp, static_cast<double>(s + 1));
    sums.add_(at::tensor(std::vector<double>{static_cast<double>(s + 1), 1}, at::kDouble));
    if (s + 1 == own.end && exchange.sends_early()) exchange.ready(kParameters / 2);
    exchange.end_samples(sums);
  }
  exchange.finish(sums);
}

// Integers below 2^24: every order of summation gives the same bits.
void expect_sums(GradientExchange& exchange) {
  const at::Tensor ramp = at::arange(kParameters, at::kFloat).remainder(1013);
  at::Tensor flat = at::empty({kParameters}, at::kFloat), sums = at::empty({2}, at::kDouble);
  for (int iteration = 0; iteration < 3; ++iteration) {
    run_iteration(exchange, ramp, flat, sums);
    EXPECT_TRUE(at::equal(flat, ramp * 21)) << exchange.text() << ", iteration " << iteration;
    EXPECT_EQ(sums[0].item<double>(), 21) << exchange.text();
    EXPECT_EQ(sums[1].item<double>(), kBatch) << exchange.text();
  }
}

TEST(GradientExchange, SumsByMpi) {
  const auto exchange = make_gradient_exchange(world(), at::kCPU, options_for(false));
  EXPECT_EQ(exchange->text(), "MPI");
  EXPECT_EQ(exchange->sends_early(), world().size() > 1);
  expect_sums(*exchange);
}

TEST(GradientExchange, SumsInAFixedOrder) {
  const auto exchange = make_gradient_exchange(world(), at::kCPU, options_for(true));
  EXPECT_EQ(exchange->text(), "MPI");
  EXPECT_FALSE(exchange->sends_early());
  expect_sums(*exchange);
}

TEST(GradientExchange, SumsByNccl) {
  if (world().size() == 1) GTEST_SKIP() << "one worker has nothing to sum";
  GradientExchangeOptions options = options_for(false);
  options.nccl_library = TESSERA_STAND_IN_NCCL;
  const auto exchange = make_gradient_exchange(world(), at::kCPU, options);
  EXPECT_THAT(exchange->text(), HasSubstr("NCCL, "));
  EXPECT_TRUE(exchange->sends_early());
  expect_sums(*exchange);
}

TEST(GradientExchange, ReportsWhyNcclIsUnused) {
  if (world().size() == 1) GTEST_SKIP() << "one worker has nothing to sum";
  const auto text_of = [](GradientExchangeOptions options) {
    options.nccl_library = TESSERA_STAND_IN_NCCL;
    const auto exchange = make_gradient_exchange(world(), at::kCPU, options);
    expect_sums(*exchange);
    return exchange->text();
  };
  EXPECT_THAT(text_of(options_for(true)), HasSubstr("without NCCL: not with train.reproducible"));
  GradientExchangeOptions options = options_for(false);
  options.nccl = false;
  options.cuda_aware_mpi = true;  // needs a GPU on every worker
  EXPECT_THAT(text_of(options), HasSubstr("without NCCL: not asked for"));
  options = options_for(false);
  options.sums_on_device = false;
  EXPECT_THAT(text_of(options), HasSubstr("without NCCL: a worker keeps its sums on the host"));
}

TEST(GradientExchange, Bfloat16IsEqualOnEveryWorker) {
  const auto exchange = make_gradient_exchange(world(), at::kCPU, options_for(false, Wire::bfloat16));
  const at::Tensor ramp = at::arange(kParameters, at::kFloat).remainder(1013);
  at::Tensor flat = at::empty({kParameters}, at::kFloat), sums = at::empty({2}, at::kDouble);
  run_iteration(*exchange, ramp, flat, sums);
  EXPECT_LE((flat - ramp * 21).abs().sub_(ramp * (21 * 0x1p-7)).max().item<double>(), 0);
  std::string mine(static_cast<const char*>(flat.data_ptr()), flat.nbytes()), roots = mine;
  world().broadcast(roots);
  EXPECT_TRUE(mine == roots) << "rank " << world().rank() << " has different bits";
}

}  // namespace
}  // namespace tessera
