#include "workers/mpi/message.h"

#include <gmock/gmock.h>

#include <array>
#include <cstdint>
#include <string>

#include "tests/unit/error_message.h"
#include "workers/blocks/block_exchange.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Sample {
  std::int32_t id = 0;
  float value = 0;
};

static_assert(MessageValue<Sample> && MessageValue<std::array<std::int64_t, 2>>);
static_assert(!MessageValue<std::string> && !MessageValue<std::vector<int>> && !MessageValue<const int*>);

Message message_of_size(std::size_t size) {
  return {3, 14, std::vector<std::byte>(size)};
}

Message with_value(const Sample& sample, std::size_t repeats) {
  Message message{3, 14, {}};
  for (std::size_t i = 0; i < repeats; ++i) {
    const auto bytes = std::as_bytes(std::span(&sample, 1));
    message.bytes.insert(message.bytes.end(), bytes.begin(), bytes.end());
  }
  return message;
}

TEST(MessageValues, AreReadBack) {
  EXPECT_EQ(value_of<Sample>(with_value({7, 0.5F}, 1)).id, 7);
  EXPECT_EQ(value_of<Sample>(with_value({7, 0.5F}, 1)).value, 0.5F);
  EXPECT_EQ(values_of<Sample>(with_value({7, 0.5F}, 3)).size(), 3U);
  EXPECT_EQ(values_of<Sample>(with_value({7, 0.5F}, 3)).back().value, 0.5F);
  EXPECT_TRUE(values_of<Sample>(message_of_size(0)).empty());
}

TEST(MessageValues, OfAnotherSizeAreErrors) {
  for (const std::size_t size : {0U, 4U, 7U, 9U, 16U}) {
    EXPECT_THAT(testing::message_of([&] { value_of<Sample>(message_of_size(size)); }),
                AllOf(HasSubstr("tag 14"), HasSubstr("rank 3"), HasSubstr(std::to_string(size) + " bytes"),
                      HasSubstr("instead of 8")));
  }
  for (const std::size_t size : {4U, 7U, 9U}) {
    EXPECT_THAT(testing::message_of([&] { values_of<Sample>(message_of_size(size)); }),
                HasSubstr(std::to_string(size) + " bytes instead of a multiple of 8"));
  }
}

TEST(MessageValues, HaveBytesBehindThem) {
  const std::array rest{std::byte{1}, std::byte{2}};
  const Message message{0, 1, message_bytes(Sample{7, 0.5F}, rest)};
  const auto [header, bytes] = header_and_rest<Sample>(message);
  EXPECT_EQ(header.id, 7);
  EXPECT_THAT(bytes, ElementsAre(std::byte{1}, std::byte{2}));
  EXPECT_TRUE(header_and_rest<Sample>(message_of_size(8)).second.empty());
  EXPECT_THAT(testing::message_of([] { header_and_rest<Sample>(message_of_size(7)); }),
              HasSubstr("7 bytes instead of at least 8"));
}

TEST(BlockFailureMessage, IsReadBackAndNeverShort) {
  Message message{2, kTagFailure, bytes_of(BlockFailure{5, true, "the disk is full"})};
  EXPECT_EQ(failure_of(message).id, 5);
  EXPECT_TRUE(failure_of(message).whole_job);
  EXPECT_EQ(failure_of(message).message, "the disk is full");
  message.bytes.resize(9);
  EXPECT_THAT(testing::message_of([&] { failure_of(message); }), HasSubstr("9 bytes instead of at least 16"));
}

}  // namespace
}  // namespace tessera
