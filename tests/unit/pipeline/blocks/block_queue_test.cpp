#include "pipeline/blocks/block_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace tessera {
namespace {

std::vector<std::int64_t> ids_from_100(std::int64_t count) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), std::int64_t{100});
  return ids;
}

/// Runs workers of different speeds in a random interleaving until all is done. Returns the worker of each
/// block.
std::map<std::int64_t, std::vector<int>> run(std::int64_t blocks, int workers, unsigned seed,
                                             double failing = 0) {
  std::mt19937 dice(seed);
  BlockQueue queue(ids_from_100(blocks), workers);
  std::map<std::int64_t, std::vector<int>> done_by;
  std::map<std::int64_t, int> tries;
  double now = 0;
  for (std::int64_t steps = 0; queue.waiting() + queue.in_flight() > 0; ++steps) {
    if (steps > 1000 * (blocks + workers)) {
      ADD_FAILURE() << "the run does not end: " << queue.waiting() << " waiting, " << queue.in_flight()
                    << " in flight";
      break;
    }
    const int worker = static_cast<int>(dice() % static_cast<unsigned>(workers));
    now += 1e-4;
    for (const std::int64_t id : queue.next_for(worker, now))
      EXPECT_GE(id, 100);
    const auto held = queue.held_by(worker);
    if (held.empty() || dice() % 3 == 0) continue;
    std::vector<std::int64_t> ended(held.begin(),
                                    held.begin() + static_cast<std::ptrdiff_t>(1 + dice() % held.size()));
    now += 1e-3 * static_cast<double>(ended.size()) * (1 + worker);
    queue.done(worker, ended, now);
    for (const std::int64_t id : ended) {
      done_by[id].push_back(worker);
      if (std::uniform_real_distribution<>()(dice) < failing && ++tries[id] < 3) queue.retry(id, worker);
    }
  }
  return done_by;
}

TEST(BlockQueue, AssignsEveryBlockOnce) {
  std::int64_t runs = 0;
  for (const std::int64_t blocks : {0, 1, 2, 5, 64, 1000, 5000}) {
    for (const int workers : {1, 2, 3, 8, 50}) {
      for (unsigned seed = 0; seed < 5; ++seed, ++runs) {
        const auto done_by = run(blocks, workers, seed);
        ASSERT_EQ(done_by.size(), static_cast<std::size_t>(blocks)) << workers << " workers";
        for (const auto& [id, who] : done_by)
          ASSERT_EQ(who.size(), 1U) << "block " << id;
      }
    }
  }
  EXPECT_EQ(runs, 175);
}

TEST(BlockQueue, AnotherWorkerRetriesAFailedBlock) {
  std::int64_t retried = 0;
  for (const int workers : {1, 2, 5}) {
    const auto done_by = run(300, workers, 7, 0.3);
    ASSERT_EQ(done_by.size(), 300U);
    for (const auto& [id, who] : done_by) {
      for (std::size_t i = 1; i < who.size(); ++i, ++retried) {
        if (workers > 1) {
          ASSERT_NE(who[i], who[i - 1]) << "block " << id;
        }
      }
    }
  }
  EXPECT_GT(retried, 100);
}

/// A worker without blocks gets one as long as any remain.
TEST(BlockQueue, NoWorkerIsIdleWhileWorkRemains) {
  BlockQueue queue(ids_from_100(200), 8);
  double now = 0;
  std::int64_t handed = 0;
  while (queue.waiting() > 0) {
    const auto batch = queue.next_for(5, now);
    ASSERT_FALSE(batch.empty()) << queue.waiting() << " blocks wait";
    handed += static_cast<std::int64_t>(batch.size());
    now += 0.5;
    const std::vector<std::int64_t> all(queue.held_by(5).begin(), queue.held_by(5).end());
    queue.done(5, all, now);
  }
  EXPECT_EQ(handed, 200);
}

TEST(BlockQueue, NeighboursStayTogether) {
  BlockQueue queue(ids_from_100(400), 4);
  std::map<int, std::vector<std::int64_t>> done;
  for (double now = 0; queue.waiting() + queue.in_flight() > 0; now += 1) {
    for (int worker = 0; worker < 4; ++worker) {
      queue.next_for(worker, now);
      if (queue.held_by(worker).empty()) continue;
      const std::int64_t id = queue.held_by(worker).front();
      done[worker].push_back(id);
      queue.done(worker, std::span(&id, 1), now + 1);
    }
  }
  for (const auto& [worker, ids] : done) {
    EXPECT_EQ(ids.size(), 100U);
    for (std::size_t i = 1; i < ids.size(); ++i)
      EXPECT_EQ(ids[i], ids[i - 1] + 1) << "worker " << worker;
  }
}

TEST(BlockQueue, BatchesOfSmallBlocksShrinkAtTheEnd) {
  BlockQueue queue(ids_from_100(10'000), 2, {.batch_s = 0.02, .largest_batch = 256});
  std::vector<std::size_t> sizes;
  double now = 0;
  while (queue.waiting() > 0) {
    const auto batch = queue.next_for(0, now);
    ASSERT_FALSE(batch.empty());
    sizes.push_back(batch.size());
    now += 1e-4 * static_cast<double>(batch.size());  // 0.1 ms per block: 200 blocks take 20 ms
    queue.done(0, batch, now);
  }
  EXPECT_EQ(sizes.front(), 1U);
  EXPECT_NEAR(static_cast<double>(*std::max_element(sizes.begin(), sizes.end())), 200, 2);
  EXPECT_EQ(sizes.back(), 1U);
  EXPECT_LT(sizes.size(), 120U);
}

TEST(BlockQueue, AWorkerHoldsTwoLargeBlocks) {
  BlockQueue queue(ids_from_100(100), 2);
  EXPECT_EQ(queue.next_for(0, 0).size(), 1U);
  EXPECT_EQ(queue.next_for(0, 0).size(), 1U);
  EXPECT_TRUE(queue.next_for(0, 0).empty());
  const std::int64_t id = queue.held_by(0).front();
  queue.done(0, std::span(&id, 1), 10);
  EXPECT_EQ(queue.next_for(0, 10).size(), 1U);
  EXPECT_TRUE(queue.next_for(0, 10).empty());
}

TEST(BlockQueue, TheLastBlocksGoToIdleWorkers) {
  BlockQueue queue(ids_from_100(4), 2);
  ASSERT_EQ(queue.next_for(0, 0).size(), 1U);
  ASSERT_EQ(queue.next_for(0, 0).size(), 1U) << "one block for each worker";
  ASSERT_EQ(queue.next_for(1, 0).size(), 1U);
  EXPECT_TRUE(queue.next_for(1, 0).empty()) << "fewer blocks than workers, and it holds one";
  const std::vector<std::int64_t> both(queue.held_by(0).begin(), queue.held_by(0).end());
  queue.done(0, both, 1);
  EXPECT_EQ(queue.next_for(0, 1), std::vector<std::int64_t>{103});
}

/// Workers that take 1 s per block, and worker 0, which takes `slow_s`.
struct OneSlowWorker {
  explicit OneSlowWorker(std::int64_t blocks, double slow_s)
      : queue(ids_from_100(blocks), kWorkers), until_s(kWorkers, 0) {
    for (int worker = 0; worker < kWorkers; ++worker)
      block_s.push_back(worker == 0 ? slow_s : 1);
  }
  /// Runs until no block waits or `enough()`. Every worker asks again after each block.
  template <class Enough>
  void run(Enough&& enough) {
    for (; queue.waiting() > 0 && !enough(); now += 0.5) {
      for (int worker = 0; worker < kWorkers; ++worker) {
        double& until = until_s[static_cast<std::size_t>(worker)];
        const auto& held = queue.held_by(worker);
        if (!held.empty() && until <= now) {
          const std::int64_t id = held.front();
          queue.done(worker, std::span(&id, 1), now);
          if (!held.empty()) until = now + block_s[static_cast<std::size_t>(worker)];
        }
        const bool had_none = held.empty();
        const bool got = !queue.next_for(worker, now).empty();
        if (got && worker == 0) last_to_slow_s = now;
        if (got && had_none) until = now + block_s[static_cast<std::size_t>(worker)];
      }
    }
  }
  static constexpr int kWorkers = 8;
  BlockQueue queue;
  std::vector<double> block_s, until_s;
  double now = 0, last_to_slow_s = 0;
};

/// A worker that takes 20 s per block, 1 s for the others, must not hold a block when the others have
/// finished all else.
TEST(BlockQueue, ASlowWorkerDoesNotDelayTheEnd) {
  OneSlowWorker job(700, 20);
  job.run([] { return false; });
  EXPECT_GT(job.last_to_slow_s, 35) << "it gets its share before";
  EXPECT_NEAR(job.now, 700 / 7.05, 3) << "no block waits any more";
  const auto held = job.queue.held_by(0).size();
  EXPECT_LE(held, 1U);
  if (held == 1) {
    EXPECT_LT(job.until_s[0] - job.now, 5);
  }
}

TEST(BlockQueue, ASlowWorkerHoldsTwoBatchesUntilTheEnd) {
  OneSlowWorker job(700, 20);
  job.run([&] { return job.now > 45; });
  EXPECT_EQ(job.queue.held_by(0).size(), 2U);
}

/// The last worker that can do a block gets it, however slow it is.
TEST(BlockQueue, ASlowWorkerDoesABlockThatNoOtherCanDo) {
  BlockQueue queue(ids_from_100(4), 2);
  double now = 0;
  const auto do_one = [&](int worker, double seconds) {
    const auto batch = queue.next_for(worker, now);
    if (batch.empty()) return false;
    now += seconds;
    queue.done(worker, batch, now);
    return true;
  };
  ASSERT_TRUE(do_one(0, 100));
  ASSERT_TRUE(do_one(1, 1));
  ASSERT_EQ(queue.next_for(1, now).size(), 1U);
  EXPECT_TRUE(queue.next_for(0, now).empty()) << "worker 1 is a hundred times as fast";
  const std::int64_t id = queue.held_by(1).front();
  queue.failed(1, id, now);
  queue.retry(id, 1);
  EXPECT_TRUE(do_one(0, 100)) << "no other worker holds a block";
  EXPECT_TRUE(do_one(0, 100));
  EXPECT_EQ(queue.waiting() + queue.in_flight(), 0);
}

TEST(BlockQueue, ASuspendedWorkersBlocksGoToOthers) {
  BlockQueue queue(ids_from_100(30), 3);
  EXPECT_TRUE(queue.suspend(1));
  EXPECT_TRUE(queue.next_for(1, 0).empty());
  std::set<std::int64_t> done;
  for (double now = 1; queue.waiting() > 0; now += 1) {
    for (const std::int64_t id : queue.next_for(0, now)) {
      done.insert(id);
      queue.done(0, std::span(&id, 1), now);
    }
  }
  EXPECT_EQ(done.size(), 30U);
  EXPECT_TRUE(queue.suspend(0));
  EXPECT_FALSE(queue.suspend(2)) << "the last active worker is not suspended";
  queue.retry(100, 2);
  EXPECT_TRUE(queue.next_for(0, 99).empty());
  EXPECT_EQ(queue.next_for(2, 99).size(), 1U);
  queue.retry(101, 2);
  queue.resume(0);
  EXPECT_EQ(queue.next_for(0, 99).size(), 1U);
}

TEST(BlockQueue, AJumpLosesNoBlock) {
  BlockQueue queue(ids_from_100(41), 1);
  std::set<std::int64_t> done;
  for (double now = 1; queue.waiting() > 0; now += 1) {
    for (const std::int64_t id : queue.next_for(0, now)) {
      done.insert(id);
      queue.done(0, std::span(&id, 1), now);
    }
    if (done.size() % 3 == 1) queue.jump(0);
  }
  EXPECT_EQ(done.size(), 41U);
}

TEST(BlockQueue, EstimatesTheTimeOfOneMoreBlock) {
  BlockQueue queue(ids_from_100(100), 2);
  EXPECT_EQ(queue.seconds_for_one_more(0), 0) << "no worker holds a block";
  const auto slow = queue.next_for(0, 0), fast = queue.next_for(1, 0);
  ASSERT_EQ(slow.size(), 1U);
  EXPECT_DOUBLE_EQ(queue.seconds_for_one_more(3), 2 * 6 - 3) << "the first block: twice its elapsed time";
  queue.done(1, fast, 2);
  queue.done(0, slow, 10);
  for (int worker = 0; worker < 2; ++worker) {
    queue.next_for(worker, 10);
    queue.next_for(worker, 10);
  }
  ASSERT_EQ(queue.held_by(0).size(), 2U);
  EXPECT_DOUBLE_EQ(queue.seconds_for_one_more(10), 30) << "the two that it holds, and one more";
  EXPECT_DOUBLE_EQ(queue.seconds_for_one_more(14), 26);
  EXPECT_DOUBLE_EQ(queue.seconds_for_one_more(25), 30) << "its time per block has grown to 15 s";
}

TEST(BlockQueue, DroppingKeepsTheBlocksInFlight) {
  BlockQueue queue(ids_from_100(30), 3);
  const auto batch = queue.next_for(1, 0);
  queue.retry(7, 0);
  queue.drop_waiting();
  EXPECT_EQ(queue.waiting(), 0);
  EXPECT_EQ(queue.in_flight(), static_cast<std::int64_t>(batch.size()));
  for (int worker = 0; worker < 3; ++worker)
    EXPECT_TRUE(queue.next_for(worker, 1).empty());
}

}  // namespace
}  // namespace tessera
