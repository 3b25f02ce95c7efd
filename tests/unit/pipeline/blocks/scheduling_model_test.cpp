// Tests the simulation of tests/benchmarks/scheduling_model.h against known results, and the policy by
// simulation.
#include "tests/benchmarks/scheduling_model.h"

#include <gtest/gtest.h>

#include "workers/blocks/block_exchange.h"

namespace tessera {
namespace {

/// The network, rank 0 and heartbeats take no time.
SimulatedWorkers ideal(int count, std::int64_t blocks_each) {
  SimulatedWorkers workers;
  workers.count = count;
  workers.blocks = count * blocks_each;
  workers.pulse_every_s = 0;
  workers.pick_up_s = 0;
  return workers;
}

TEST(SchedulingModel, EvenlyDividedEqualBlocksLeaveNoWorkerIdle) {
  for (const int count : {1, 2, 16, 257}) {
    const SimulatedRun run = simulate(ideal(count, 12), {});
    EXPECT_TRUE(run.finished);
    EXPECT_EQ(run.blocks, 12 * count);
    EXPECT_NEAR(run.elapsed_s, 48, 1e-9) << count << " workers";
    EXPECT_NEAR(run.idle, 0, 1e-9) << count << " workers";
  }
}

TEST(SchedulingModel, OneExtraBlockCostsEveryOtherWorkerABlock) {
  SimulatedWorkers workers = ideal(16, 12);
  workers.blocks += 1;
  const SimulatedRun run = simulate(workers, {});
  EXPECT_NEAR(run.elapsed_s, 52, 1e-9);
  EXPECT_NEAR(run.idle_tail, 15.0 * 4 / (16 * 52), 1e-9);
  EXPECT_NEAR(run.idle, run.idle_tail, 1e-9);
}

/// The second block is read while the first is computed; the first is written while the second is computed.
TEST(SchedulingModel, ReadingAndWritingOverlapPrediction) {
  SimulatedWorkers workers = ideal(1, 100);
  workers.read = workers.write = 0.5;
  const SimulatedRun hidden = simulate(workers, {});
  EXPECT_NEAR(hidden.elapsed_s, 400 + 2 + 2, 1e-9);
  EXPECT_NEAR(hidden.idle_start, 2.0 / 404, 1e-9);
  EXPECT_NEAR(hidden.idle_between, 0, 1e-9);
  EXPECT_NEAR(hidden.idle_tail, 2.0 / 404, 1e-9);
  // With two blocks in flight, a block's place is free for the next block after it is written.
  workers.read = workers.write = 0.75;
  const SimulatedRun seen = simulate(workers, {});
  EXPECT_NEAR(seen.idle_between, 0.2, 0.01) << "two blocks in 4 x (1 + 0.75 + 0.75) s";
}

/// 1000 workers with blocks of 1 s. Rank 0 needs 2 ms per block, so it is the bottleneck.
TEST(SchedulingModel, ASlowRankZeroIsTheLimit) {
  SimulatedWorkers workers = ideal(1000, 20);
  workers.block_s = 1;
  SimulatedCosts costs;
  costs.receive_s = costs.send_s = 1e-3;
  const SimulatedRun run = simulate(workers, costs);
  EXPECT_NEAR(run.elapsed_s, 20'000 * 2e-3, 3);
  EXPECT_NEAR(run.idle, 0.5, 0.03);
  EXPECT_GT(run.rank0_busy, 0.95);
}

TEST(SchedulingModel, TooManyHeartbeatsOverloadRankZero) {
  SimulatedWorkers workers = ideal(1000, 20);
  workers.pulse_every_s = 0.5;
  SimulatedCosts costs;
  costs.receive_s = 1e-3;
  EXPECT_FALSE(simulate(workers, costs).finished);
}

/// Heartbeats do not overload rank 0, for any number of workers.
TEST(SchedulingModel, HeartbeatsAreAtMostAThousandPerSecond) {
  for (const int count : {100, 1000, 4096, 10'000}) {
    SimulatedWorkers workers = ideal(count, 3);
    workers.pulse_every_s = pulse_interval_s(count);
    const SimulatedRun run = simulate(workers, {});
    EXPECT_TRUE(run.finished);
    const std::int64_t pulses = run.messages - run.blocks - count;
    EXPECT_GT(pulses, count) << count << " workers";
    EXPECT_LT(static_cast<double>(pulses) / run.elapsed_s, 1050) << count << " workers";
  }
}

TEST(SchedulingModel, AJournalThatSyncsForHalfTheTimeHalvesTheRate) {
  SimulatedWorkers workers = ideal(100, 100);
  workers.block_s = 0.05;
  SimulatedCosts costs;
  costs.append_s = 1e-3;
  const double alone_s = simulate(workers, costs).elapsed_s;
  costs.sync_s = 0.1;
  const double synced_s = simulate(workers, costs).elapsed_s;
  EXPECT_NEAR(alone_s, 10, 0.5) << "10,000 records of 1 ms";
  EXPECT_NEAR(synced_s, 20, 1);
}

TEST(SchedulingModel, BlocksTakeTheirConfiguredTime) {
  SimulatedWorkers workers = ideal(64, 200);
  workers.log_deviation = 0.5;
  EXPECT_NEAR(simulate(workers, {}).predicted_s / (4 * 64 * 200), 1, 0.02);
  // Half of the workers run at half speed, and idle workers take the next block.
  workers.log_deviation = 0;
  workers.slow_share = 0.5;
  workers.slow_speed = 0.5;
  EXPECT_NEAR(simulate(workers, {}).elapsed_s, 4 * 200 / 0.75, 8);
}

TEST(SchedulingModel, OneSharedQueueIsTheOnlineOptimum) {
  EXPECT_NEAR(idle_of_one_line(ideal(16, 12)), 0, 1e-9);
  SimulatedWorkers workers = ideal(16, 12);
  workers.blocks += 1;
  EXPECT_NEAR(idle_of_one_line(workers), 15.0 * 4 / (16 * 52), 1e-9);
  workers.stragglers = 1;  // it has the extra block, or one block less than the others
  EXPECT_LT(idle_of_one_line(workers), 1.0 / 12);
}

/// The policy's promise for jobs of any size: its idle time is only slightly above that of one shared queue.
TEST(SchedulingModel, ThePolicyIsCloseToOneSharedQueue) {
  for (const int count : {16, 256, 1024}) {
    for (const double straggler_speed : {1.0, 0.5, 0.25}) {
      SimulatedWorkers workers = ideal(count, 100);
      workers.log_deviation = 0.2;
      workers.read = 0.01;
      workers.write = 0.05;
      workers.pick_up_s = 1e-3;
      workers.pulse_every_s = pulse_interval_s(count);
      workers.stragglers = count / 100 + 1;
      workers.straggler_speed = straggler_speed;
      const SimulatedRun run = simulate(workers, {});
      EXPECT_EQ(run.blocks, workers.blocks);
      EXPECT_LT(run.idle, straggler_speed < 0.5 ? 0.04 : 0.025)
          << count << " workers, stragglers of speed " << straggler_speed;
      workers.stragglers = 0;
      EXPECT_GT(run.idle, 0.3 * idle_of_one_line(workers)) << "too good to be true";
    }
  }
}

TEST(SchedulingModel, EqualArgumentsGiveEqualRuns) {
  SimulatedWorkers workers = ideal(100, 20);
  workers.log_deviation = 0.3;
  workers.pulse_every_s = 0.5;
  workers.pick_up_s = 1e-3;
  SimulatedCosts costs;
  costs.receive_s = costs.send_s = 5e-6;
  costs.polite_wait = true;
  const SimulatedRun once = simulate(workers, costs), again = simulate(workers, costs);
  EXPECT_EQ(once.elapsed_s, again.elapsed_s);
  EXPECT_EQ(once.messages, again.messages);
  workers.seed = 2;
  EXPECT_NE(simulate(workers, costs).elapsed_s, once.elapsed_s);
}

}  // namespace
}  // namespace tessera
