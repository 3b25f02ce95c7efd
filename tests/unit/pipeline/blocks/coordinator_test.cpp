#include "pipeline/blocks/coordinator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

std::vector<std::int64_t> first(std::int64_t count) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
  std::iota(ids.begin(), ids.end(), std::int64_t{0});
  return ids;
}

/// Calls `respond` for each assigned block, round-robin over the workers, until no block remains.
template <class Respond>
void drive(Coordinator& coordinator, int workers, Respond&& respond) {
  for (int round = 0; !coordinator.over(); ++round) {
    ASSERT_LT(round, 100'000) << "the run does not end";
    coordinator.look_around();
    for (int worker = 0; worker < workers; ++worker) {
      for (const std::int64_t id : coordinator.next_for(worker))
        respond(worker, id);
    }
  }
}

TEST(Coordinator, RetriesAFailingBlockThenQuarantinesIt) {
  CoordinatorOptions options;
  options.max_retries = 2;
  std::vector<std::int64_t> done;
  CoordinatorHooks hooks;
  hooks.block_done = [&](const BlockReport& report) { done.push_back(report.id); };
  Coordinator coordinator(first(50), hooks, options);
  coordinator.begin(3, 1);
  int attempts = 0;
  bool failed_once = false;
  drive(coordinator, 3, [&](int worker, std::int64_t id) {
    if (id == 17) {
      ++attempts;
      coordinator.hear(worker, BlockFailure{id, false, "bad"});
    } else if (id == 20 && !failed_once) {
      failed_once = true;
      coordinator.hear(worker, BlockFailure{id, false, "once"});
    } else {
      coordinator.hear(
          worker, std::vector{BlockReport{id, 1, 2, id == 5 ? BlockOutcome::skipped : BlockOutcome::done}});
    }
  });
  EXPECT_EQ(attempts, 3);
  EXPECT_TRUE(coordinator.failure().empty());
  ASSERT_EQ(coordinator.quarantined().size(), 1U);
  EXPECT_EQ(coordinator.quarantined()[0].id, 17);
  EXPECT_EQ(coordinator.quarantined()[0].attempts, 3);
  EXPECT_EQ(coordinator.quarantined()[0].message, "bad");
  EXPECT_EQ(coordinator.blocks_done(), 48);
  EXPECT_EQ(coordinator.blocks_skipped(), 1);
  EXPECT_EQ(done.size(), 49U);
}

/// A worker that fails on everything is detected. A worker in a bad region of the volume is not suspended.
TEST(Coordinator, ADefectiveWorkerGetsNoMoreBlocks) {
  for (const bool sick : {true, false}) {
    CoordinatorOptions options;
    options.max_retries = 2;
    Coordinator coordinator(first(400), {}, options);
    coordinator.begin(4, 1);
    std::map<int, int> attempts_by;
    drive(coordinator, 4, [&](int worker, std::int64_t id) {
      ++attempts_by[worker];
      if (sick ? worker == 2 : id >= 220 && id < 260) {
        coordinator.hear(worker, BlockFailure{id, false, "bad"});
      } else {
        coordinator.hear(worker, std::vector{BlockReport{id, 1, 2}});
      }
    });
    EXPECT_TRUE(coordinator.failure().empty()) << coordinator.failure();
    EXPECT_EQ(coordinator.blocks_done(), sick ? 400 : 360);
    EXPECT_EQ(coordinator.quarantined().size(), sick ? 0U : 40U);
    if (!sick) {
      EXPECT_GT(attempts_by[2], 40) << "the worker is resumed";
    }
  }
}

TEST(Coordinator, SkipsAheadAfterFailuresAtTheBeginning) {
  CoordinatorOptions options;
  options.max_retries = 1;
  Coordinator coordinator(first(200), {}, options);
  coordinator.begin(1, 0);
  drive(coordinator, 1, [&](int worker, std::int64_t id) {
    if (id < 60)
      coordinator.hear(worker, BlockFailure{id, false, "bad"});
    else
      coordinator.hear(worker, std::vector{BlockReport{id, 1, 2}});
  });
  EXPECT_TRUE(coordinator.failure().empty()) << coordinator.failure();
  EXPECT_EQ(coordinator.blocks_done(), 140);
  EXPECT_EQ(coordinator.quarantined().size(), 60U);
}

TEST(Coordinator, AWholeJobErrorEndsTheJobAtOnce) {
  Coordinator coordinator(first(100'000), {});
  coordinator.begin(2, 1);
  int failures = 0;
  drive(coordinator, 2, [&](int worker, std::int64_t id) {
    if (id == 3) {
      coordinator.hear(worker, BlockFailure{id, true, "disk full"});
      ++failures;
    } else {
      coordinator.hear(worker, std::vector{BlockReport{id, 1, 2}});
    }
  });
  EXPECT_EQ(failures, 1);
  EXPECT_NE(coordinator.failure().find("disk full"), std::string::npos);
  EXPECT_LT(coordinator.blocks_done(), 1000) << "only blocks that were already assigned";
}

TEST(Coordinator, AJournalThatFailsEndsTheJob) {
  CoordinatorHooks hooks;
  hooks.block_done = [](const BlockReport& report) {
    if (report.id >= 10) throw Error("cannot write the journal");
  };
  Coordinator coordinator(first(1000), hooks);
  coordinator.begin(1, 0);
  drive(coordinator, 1, [&](int worker, std::int64_t id) {
    coordinator.hear(worker, std::vector{BlockReport{id, 1, 2}});
  });
  EXPECT_EQ(coordinator.failure(), "cannot write the journal");
  EXPECT_EQ(coordinator.blocks_done(), 10);
}

TEST(Coordinator, EndsWhenEveryBlockFails) {
  Coordinator coordinator(first(100'000), {});
  coordinator.begin(4, 1);
  std::int64_t attempts = 0;
  drive(coordinator, 4, [&](int worker, std::int64_t id) {
    ++attempts;
    coordinator.hear(worker, BlockFailure{id, false, "broken"});
  });
  EXPECT_NE(coordinator.failure().find("broken"), std::string::npos);
  EXPECT_LT(attempts, 1000) << "only blocks that were already assigned";
}

TEST(Coordinator, ASilentWorkerIsNamed) {
  CoordinatorOptions options;
  options.watchdog_s = 1800;
  double now = 1e6;
  options.clock = [&now] { return now; };
  Coordinator coordinator(first(10), {}, options);
  coordinator.begin(2, 1);
  coordinator.worker_here(1, identity_of("cpu"));
  const auto held = coordinator.next_for(1);
  ASSERT_EQ(held.size(), 1U);
  std::string message = "no error";
  for (; now < 1e6 + 3600 && message == "no error"; now += 0.5) {
    coordinator.hear(0, WorkerPulse{});
    message = testing::message_of([&] { coordinator.look_around(); });
  }
  EXPECT_NEAR(now, 1e6 + 1800, 2) << "at the watchdog's limit";
  EXPECT_NE(message.find("rank 2 on "), std::string::npos) << message;
  EXPECT_NE(message.find("was not heard of"), std::string::npos) << message;
  EXPECT_NE(message.find("it had block " + std::to_string(held[0])), std::string::npos) << message;
}

/// In one process a stage that hangs is a thread of the process itself, so nothing but its end helps.
TEST(LocalBlockExchange, AStageWithoutProgressEndsTheProcess) {
  CoordinatorOptions options;
  options.watchdog_s = 30;
  double now = 0;
  options.clock = [&now] { return now; };
  Coordinator coordinator(first(10), {}, options);
  LocalBlockExchange exchange(coordinator);
  ASSERT_TRUE(exchange.poll());
  const auto poll_after = [&](double still_s) {
    now += 20;
    exchange.pulse(WorkerPulse{.still_s = still_s});
    exchange.poll();
  };
  poll_after(119);
  EXPECT_EXIT(poll_after(121), ::testing::ExitedWithCode(kExitFailed), "");
}

/// With thousands of workers heartbeats are less frequent, and the watchdog waits accordingly.
TEST(Coordinator, AShortWatchdogWaitsForTwoHeartbeats) {
  const double interval_s = pulse_interval_s(5000);
  ASSERT_NEAR(interval_s, 5, 1e-9);
  CoordinatorOptions options;
  options.watchdog_s = 1.2;
  double now = 0;
  options.clock = [&now] { return now; };
  Coordinator coordinator(first(10), {}, options);
  coordinator.begin(5000, 1);
  const auto everybody = [&] {
    for (int worker = 0; worker < 5000; ++worker)
      coordinator.hear(worker, WorkerPulse{});
  };
  for (; now < 60; now += 0.5) {
    if (std::fmod(now, interval_s) == 0) everybody();
    EXPECT_NO_THROW(coordinator.look_around()) << now;
  }
  std::string message = "no error";
  for (; now < 80 && message == "no error"; now += 0.5)
    message = testing::message_of([&] { coordinator.look_around(); });
  EXPECT_NE(message.find("was not heard of"), std::string::npos) << message;
}

TEST(Coordinator, AssignsNothingAfterAStop) {
  std::int64_t done = 0;
  CoordinatorHooks hooks;
  hooks.block_done = [&](const BlockReport&) { ++done; };
  hooks.should_stop = [&] { return done >= 5; };
  Coordinator coordinator(first(100), hooks);
  coordinator.begin(2, 1);
  drive(coordinator, 2, [&](int worker, std::int64_t id) {
    coordinator.hear(worker, std::vector{BlockReport{id, 1, 2}});
  });
  EXPECT_TRUE(coordinator.stopped());
  EXPECT_FALSE(coordinator.stopped_for_time());
  EXPECT_GE(done, 5);
  EXPECT_LT(done, 100);
}

TEST(Coordinator, AssignsNothingAfterTheTimeLimit) {
  std::int64_t done = 0;
  double asked_for = -1;
  CoordinatorHooks hooks;
  hooks.block_done = [&](const BlockReport&) { ++done; };
  hooks.time_allows = [&](double seconds) {
    asked_for = seconds;
    return done < 3;
  };
  Coordinator coordinator(first(100'000), hooks);
  coordinator.begin(2, 1);
  drive(coordinator, 2, [&](int worker, std::int64_t id) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    coordinator.hear(worker, std::vector{BlockReport{id, 1, 2}});
  });
  EXPECT_TRUE(coordinator.stopped());
  EXPECT_TRUE(coordinator.stopped_for_time());
  EXPECT_GE(done, 3);
  EXPECT_LT(done, 20'000) << "it is asked about once a second";
  EXPECT_GE(asked_for, 0);
}

}  // namespace
}  // namespace tessera
