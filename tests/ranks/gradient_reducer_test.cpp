#include "workers/gradients/gradient_reducer.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "ranks.h"
#include "workers/gradients/sample_tree.h"

namespace tessera {
namespace {

using testing::world;

/// The value of rank r at index i. Sums over ranks are integers below 2^24, so they are exact in float32 in
/// any order.
float value_of(int rank, std::size_t i) {
  return static_cast<float>((rank + 1) * static_cast<int>(i % 1013));
}
float sum_at(std::size_t i) {
  float sum = 0;
  for (int rank = 0; rank < world().size(); ++rank)
    sum += value_of(rank, i);
  return sum;
}

std::vector<float> own_values(std::size_t size) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i)
    values[i] = value_of(world().rank(), i);
  return values;
}

// The front grows in steps that are not multiples of a bucket, on another thread than the one that waits, and
// at a different speed on each rank.
TEST(GradientReducer, SumsValuesAsTheyBecomeReady) {
  for (const std::size_t size : {1U, 999U, 1000U, 1001U, 54321U}) {
    GradientReducer reducer(world(), {.bucket_values = 1000});
    for (int round = 0; round < 3; ++round) {
      std::vector<float> values(size, -1);
      reducer.begin(values);
      std::jthread computing([&] {
        std::size_t at = 0;
        while (at < size) {
          const std::size_t next = std::min(size, at + 777);
          for (; at < next; ++at)
            values[at] = value_of(world().rank(), at);
          reducer.ready(static_cast<std::int64_t>(at));
          if (at % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200 * world().rank()));
        }
      });
      computing.join();
      EXPECT_GE(reducer.finish(), 0);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < size; ++i)
        wrong += values[i] == sum_at(i) ? 0 : 1;
      EXPECT_EQ(wrong, 0U) << size << " values, round " << round;
    }
  }
}

TEST(GradientReducer, Bfloat16IsRoundedAndEqualOnEveryRank) {
  constexpr std::size_t kSize = 10007;
  GradientReducer reducer(world(), {.wire = Wire::bfloat16, .bucket_values = 1000});
  std::vector<float> values = own_values(kSize);
  reducer.begin(values);
  reducer.ready(kSize);
  reducer.finish();
  for (std::size_t i = 0; i < kSize; ++i) {
    // Rounded twice to 8 bits; with one rank nothing is sent.
    EXPECT_NEAR(values[i], sum_at(i), sum_at(i) * (world().size() == 1 ? 0 : 0x1p-7)) << i;
  }
  std::string mine(reinterpret_cast<const char*>(values.data()), sizeof(float) * kSize), roots = mine;
  world().broadcast(roots);
  EXPECT_TRUE(mine == roots) << "rank " << world().rank() << " has different bits";
}

// Simulates a rank that fails during its computation: the destructor must not wait for another rank. Less
// than one bucket is ready, so no collective may have begun. The next sum on the same communicator must be
// correct.
TEST(GradientReducer, DestructorAbandonsAnUnfinishedSum) {
  for (const Wire wire : {Wire::float32, Wire::bfloat16}) {
    std::vector<float> values = own_values(5000);
    const std::vector<float> before = values;
    auto reducer = std::make_unique<GradientReducer>(
        world(), GradientReducerOptions{.wire = wire, .bucket_values = 1000});
    reducer->begin(values);
    reducer->ready(999);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the reducer's thread has seen it
    auto dropped = std::async(std::launch::async, [&] { reducer.reset(); });
    if (dropped.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
      std::puts("the destructor of GradientReducer does not return");
      std::_Exit(1);  // the thread cannot be ended otherwise
    }
    EXPECT_EQ(values, before);

    GradientReducer next(world(), {.bucket_values = 1000});
    next.begin(values);
    next.ready(static_cast<std::int64_t>(values.size()));
    next.finish();
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      wrong += values[i] == sum_at(i) ? 0 : 1;
    EXPECT_EQ(wrong, 0U);
  }
}

TEST(SamplesOf, CoverTheBatchOnce) {
  int compared = 0;
  for (const std::int64_t batch : {1, 2, 3, 7, 16}) {
    for (const int workers : {1, 2, 3, 4, 9}) {
      std::int64_t next = 0;
      for (int worker = 0; worker < workers; ++worker) {
        const SampleRange range = samples_of(batch, worker, workers);
        EXPECT_EQ(range.begin, next);
        EXPECT_LE(range.count(), batch / workers + 1);
        next = range.end;
      }
      EXPECT_EQ(next, batch);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 25);
}

/// The value of a sample at index i: no sum of these is exact.
float inexact(std::int64_t sample, std::size_t i) {
  return static_cast<float>(std::sin(static_cast<double>(sample * 131 + static_cast<std::int64_t>(i) * 17)) *
                            std::pow(10.0, static_cast<double>(sample % 7) - 3));
}

void add_samples(SampleTree& tree, const SampleRange& range, std::size_t size) {
  std::vector<float> values(size);
  for (std::int64_t sample = range.begin; sample < range.end; ++sample) {
    for (std::size_t i = 0; i < size; ++i)
      values[i] = inexact(sample, i);
    const std::vector<double> scalars{static_cast<double>(inexact(sample, 3)), 1.0};
    tree.add(values, scalars);
  }
}

TEST(SampleTree, SumIsBitwiseIndependentOfTheRanks) {
  constexpr std::size_t kSize = 4321;
  int compared = 0;
  for (const std::int64_t batch : {1, 2, 3, 4, 5, 8, 11}) {
    SampleTree together(world(), batch);
    const Communicator alone = Communicator::alone();
    SampleTree own(alone, batch);
    for (int round = 0; round < 2; ++round) {
      add_samples(together, samples_of(batch, world().rank(), world().size()), kSize);
      add_samples(own, {0, batch}, kSize);
      std::vector<float> a(kSize), b(kSize);
      std::vector<double> a_scalars(2), b_scalars(2);
      together.sum(a, a_scalars);
      own.sum(b, b_scalars);
      EXPECT_EQ(std::memcmp(a.data(), b.data(), sizeof(float) * kSize), 0) << "batch " << batch;
      EXPECT_EQ(a_scalars, b_scalars) << "batch " << batch;
      EXPECT_EQ(a_scalars[1], static_cast<double>(batch));
      double exact = 0;
      for (std::int64_t sample = 0; sample < batch; ++sample)
        exact += static_cast<double>(inexact(sample, 5));
      EXPECT_NEAR(a[5], exact, 1e-3);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 14);
}

}  // namespace
}  // namespace tessera
