#include "workers/samples/sample_prefetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "tests/unit/error_message.h"
#include "tests/unit/io/base/failing_threads.h"

namespace tessera {
namespace {

PreparedSample numbered(std::int64_t number) {
  PreparedSample made;
  made.recipe.dropout_seed = static_cast<std::uint64_t>(number);
  return made;
}

std::int64_t third(std::int64_t number) {
  return number + 3;
}

TEST(SamplePrefetcher, OrderDoesNotDependOnThreads) {
  for (const int threads : {0, 1, 2, 5}) {
    SamplePrefetcher samples(
        [](std::int64_t number) {
          // Later ones are made faster.
          std::this_thread::sleep_for(std::chrono::microseconds(number % 7 == 0 ? 2000 : 50));
          return numbered(number);
        },
        third, threads, 4);
    for (std::int64_t number = 1; number < 150; number += 3) {
      ASSERT_EQ(samples.take(number).recipe.dropout_seed, static_cast<std::uint64_t>(number))
          << threads << " threads";
    }
    // A jump, as after a resume.
    EXPECT_EQ(samples.take(1000).recipe.dropout_seed, 1000U);
    EXPECT_EQ(samples.take(1003).recipe.dropout_seed, 1003U);
    EXPECT_GE(samples.waited_s(), 0);
  }
}

TEST(SamplePrefetcher, MakesAtMostTheGivenNumberAhead) {
  std::atomic<int> made{0};
  SamplePrefetcher samples([&](std::int64_t number) { return ++made, numbered(number); }, third, 2, 3);
  samples.take(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(made, 4) << "the taken one and three more";
}

TEST(SamplePrefetcher, TakeThrowsTheErrorOfItsSample) {
  SamplePrefetcher samples(
      [](std::int64_t number) {
        if (number == 6) throw std::runtime_error("sample 6");
        return numbered(number);
      },
      third, 2, 4);
  EXPECT_EQ(samples.take(0).recipe.dropout_seed, 0U);
  EXPECT_EQ(samples.take(3).recipe.dropout_seed, 3U);
  EXPECT_THROW(samples.take(6), std::runtime_error);
  EXPECT_EQ(samples.take(9).recipe.dropout_seed, 9U);
}

TEST(SamplePrefetcher, DroppedSamplesAreMadeAgain) {
  std::atomic<std::uint64_t> version{1};
  SamplePrefetcher samples([&](std::int64_t) { return numbered(static_cast<std::int64_t>(version.load())); },
                           third, 2, 3);
  EXPECT_EQ(samples.take(0).recipe.dropout_seed, 1U);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  samples.drop();
  version = 2;
  EXPECT_EQ(samples.take(3).recipe.dropout_seed, 2U);
}

TEST(SamplePrefetcher, EndsInOrderWhenAThreadCannotStart) {
  for (const int nth : {1, 2, 3}) {
    const testing::FailingThread failing(nth);
    EXPECT_THAT(testing::message_of([] { SamplePrefetcher(numbered, third, 3, 4); }),
                ::testing::HasSubstr("cannot start a thread to make samples: "));
    EXPECT_TRUE(failing.has_failed());
  }
}

}  // namespace
}  // namespace tessera
