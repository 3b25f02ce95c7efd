#include "workers/blocks/bounded_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace tessera {
namespace {

TEST(BoundedQueue, KeepsTheOrderOfOneProducer) {
  BoundedQueue<std::int64_t> queue(2);
  std::jthread producer([&] {
    for (std::int64_t i = 0; i < 1000; ++i)
      queue.push(i);
    queue.close();
  });
  std::int64_t expected = 0;
  while (const auto value = queue.pop())
    ASSERT_EQ(*value, expected++);
  EXPECT_EQ(expected, 1000);
}

TEST(BoundedQueue, DeliversEachValueOnceToSeveralConsumers) {
  constexpr std::int64_t kValues = 2000, kProducers = 3, kConsumers = 3;
  BoundedQueue<std::int64_t> queue(4);
  std::vector<std::vector<std::int64_t>> taken(kConsumers);
  {
    std::vector<std::jthread> consumers;
    for (auto& mine : taken)
      consumers.emplace_back([&] {
        while (const auto value = queue.pop())
          mine.push_back(*value);
      });
    {
      std::vector<std::jthread> producers;
      for (std::int64_t p = 0; p < kProducers; ++p)
        producers.emplace_back([&, p] {
          for (std::int64_t i = p; i < kValues; i += kProducers)
            queue.push(i);
        });
    }
    queue.close();
  }
  std::vector<int> seen(kValues, 0);
  for (const auto& mine : taken)
    for (const std::int64_t value : mine)
      ++seen[static_cast<std::size_t>(value)];
  EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), std::int64_t{0}), kValues);
  for (const int count : seen)
    ASSERT_EQ(count, 1);
}

TEST(BoundedQueue, HoldsNoMoreThanItsCapacity) {
  BoundedQueue<int> queue(3);
  std::atomic<int> pushed = 0;
  std::jthread producer([&] {
    while (queue.push(1))
      ++pushed;
  });
  while (pushed < 3)
    std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(pushed, 3) << "a fourth value waits for room";
  EXPECT_TRUE(queue.pop());
  while (pushed < 4)
    std::this_thread::yield();
  queue.close();
}

TEST(BoundedQueue, ClosingEndsEveryWait) {
  BoundedQueue<std::unique_ptr<int>> empty(1), full(1);
  ASSERT_TRUE(full.push(std::make_unique<int>(7)));
  std::jthread reader([&] { EXPECT_EQ(empty.pop(), std::nullopt); });
  std::jthread patient_reader([&] { EXPECT_EQ(empty.pop_within(60), std::nullopt); });
  std::jthread writer([&] { EXPECT_FALSE(full.push(nullptr)); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  empty.close();
  full.close();
  reader.join();
  patient_reader.join();
  writer.join();
  EXPECT_TRUE(full.is_closed());
  const auto last = full.try_pop();
  ASSERT_TRUE(last) << "what is inside can still be taken";
  EXPECT_EQ(**last, 7);
  EXPECT_EQ(full.try_pop(), std::nullopt);
  EXPECT_EQ(full.pop_within(0.01), std::nullopt);
}

}  // namespace
}  // namespace tessera
