#include "workers/numbers/random_stream.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace tessera {
namespace {

std::vector<std::uint64_t> first_numbers(RandomStream random) {
  std::vector<std::uint64_t> numbers;
  for (int i = 0; i < 8; ++i)
    numbers.push_back(random.next());
  return numbers;
}

TEST(RandomStream, TheKeyIsAll) {
  EXPECT_EQ(first_numbers(RandomStream(1, 2, 3)), first_numbers(RandomStream(1, 2, 3)));
  std::set<std::uint64_t> seen;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    for (std::uint64_t epoch = 0; epoch < 8; ++epoch) {
      for (std::uint64_t sample = 0; sample < 8; ++sample) {
        for (const std::uint64_t number : first_numbers({seed, epoch, sample}))
          seen.insert(number);
      }
    }
  }
  EXPECT_EQ(seen.size(), 8U * 8 * 8 * 8) << "two streams share a number";
}

// SplitMix64 of a mixed key, computed with Python's whole numbers. A change of the generator changes every
// training.
TEST(RandomStream, GoldenNumbers) {
  RandomStream random(1, 2, 3);
  EXPECT_EQ(random.next(), 0x3064c53251b62548U);
  EXPECT_EQ(random.next(), 0xa2d6a8564524d307U);
  EXPECT_EQ(random.next(), 0x8d0e04613fbb254dU);
  EXPECT_EQ(random.next(), 0x9ef2d4c3fcb75e38U);
  EXPECT_EQ(RandomStream(0, 0, 0).next(), 0x9ce9044cf4430b33U);
  EXPECT_DOUBLE_EQ(RandomStream(1, 2, 3).uniform(), 0.18903763273711904);
  EXPECT_NEAR(RandomStream(1, 2, 3).normal(), -0.424773668173507, 1e-14);
  RandomStream whole(1, 2, 3);
  EXPECT_EQ(whole.integer(5, 14), 6);
  EXPECT_EQ(whole.integer(5, 14), 11);
  EXPECT_EQ(whole.integer(5, 14), 10);
}

TEST(RandomStream, UniformFillsItsInterval) {
  RandomStream random(7, 0, 0);
  constexpr int kCount = 200'000;
  double sum = 0, squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const double value = random.uniform();
    ASSERT_TRUE(value >= 0 && value < 1);
    sum += value, squares += value * value;
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.003);
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 0.003);
  for (int i = 0; i < 1000; ++i) {
    const double value = random.uniform(-3, 2);
    ASSERT_TRUE(value >= -3 && value < 2);
  }
}

TEST(RandomStream, IntegersReachBothBounds) {
  RandomStream random(7, 0, 1);
  std::vector<int> counts(5, 0);
  for (int i = 0; i < 50'000; ++i)
    ++counts.at(static_cast<std::size_t>(random.integer(-2, 2) + 2));
  for (const int count : counts)
    EXPECT_NEAR(count, 10'000, 500);
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(random.integer(4, 4), 4);
}

TEST(RandomStream, NormalMoments) {
  RandomStream random(7, 0, 2);
  constexpr int kCount = 200'000;
  double sum = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double value = random.normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value, squares += value * value, fourth += value * value * value * value;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.01);
  EXPECT_NEAR(squares / kCount, 1, 0.015);
  EXPECT_NEAR(fourth / kCount, 3, 0.15);
}

}  // namespace
}  // namespace tessera
