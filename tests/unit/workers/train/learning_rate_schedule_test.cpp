#include "workers/train/learning_rate_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tessera {
namespace {

using Kind = LearningRateSchedule::Kind;

LearningRateSchedule schedule(Kind kind, std::int64_t iterations, std::int64_t warm_up = 0) {
  LearningRateSchedule made;
  made.kind = kind;
  made.iterations = iterations;
  made.warm_up = warm_up;
  made.step_every = 10;
  made.floor = kind == Kind::cosine || kind == Kind::polynomial ? 0.2 : 0;
  return made;
}

constexpr Kind kAll[]{Kind::constant, Kind::step, Kind::polynomial, Kind::cosine};

TEST(LearningRateSchedule, StartsAtTheFullRateAndNeverRises) {
  for (const Kind kind : kAll) {
    const LearningRateSchedule one = schedule(kind, 100);
    EXPECT_EQ(learning_rate_factor(one, 1, 0), 1) << static_cast<int>(kind);
    for (std::int64_t t = 2; t <= 120; ++t) {
      EXPECT_LE(learning_rate_factor(one, t, 0), learning_rate_factor(one, t - 1, 0)) << t;
      EXPECT_GE(learning_rate_factor(one, t, 0), one.floor) << t;
    }
  }
}

TEST(LearningRateSchedule, ByHand) {
  EXPECT_EQ(learning_rate_factor(schedule(Kind::constant, 100), 77, 0), 1);
  EXPECT_EQ(learning_rate_factor(schedule(Kind::step, 100), 10, 0), 1);
  EXPECT_DOUBLE_EQ(learning_rate_factor(schedule(Kind::step, 100), 11, 0), 0.1);
  EXPECT_NEAR(learning_rate_factor(schedule(Kind::step, 100), 21, 0), 0.01, 1e-15);
  EXPECT_NEAR(learning_rate_factor(schedule(Kind::cosine, 100), 51, 0), 0.2 + 0.8 * 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate_factor(schedule(Kind::polynomial, 100), 51, 0),
                   0.2 + 0.8 * std::pow(0.5, 0.9));
  for (const Kind kind : {Kind::cosine, Kind::polynomial}) {
    EXPECT_DOUBLE_EQ(learning_rate_factor(schedule(kind, 100), 101, 0), 0.2) << "at the end";
    EXPECT_DOUBLE_EQ(learning_rate_factor(schedule(kind, 100), 500, 0), 0.2) << "and beyond it";
  }
}

TEST(LearningRateSchedule, WarmUpRisesLinearly) {
  for (const Kind kind : kAll) {
    const LearningRateSchedule one = schedule(kind, 100, 8);
    for (std::int64_t t = 1; t <= 8; ++t)
      EXPECT_DOUBLE_EQ(learning_rate_factor(one, t, 0), static_cast<double>(t) / 8);
    EXPECT_EQ(learning_rate_factor(one, 9, 0), 1) << static_cast<int>(kind);
  }
  EXPECT_NEAR(learning_rate_factor(schedule(Kind::cosine, 100, 8), 8 + 46 + 1, 0), 0.2 + 0.8 * 0.5, 1e-12);
}

TEST(LearningRateSchedule, UsesTheLargerOfTimeAndIterations) {
  for (const Kind kind : kAll) {
    const LearningRateSchedule one = schedule(kind, 100, 8);
    EXPECT_DOUBLE_EQ(learning_rate_factor(one, 21, 0.6), learning_rate_factor(one, 61, 0))
        << "iteration 21 of a training that is 60 % over is as the 61st";
    EXPECT_EQ(learning_rate_factor(one, 61, 0.1), learning_rate_factor(one, 61, 0));
    EXPECT_EQ(learning_rate_factor(one, 4, 0.6), 0.5) << "a warm-up goes by iterations";
  }
  EXPECT_DOUBLE_EQ(learning_rate_factor(schedule(Kind::cosine, 100), 21, 1.3), 0.2);
}

}  // namespace
}  // namespace tessera
