#include "io/base/crc32c.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace tessera {
namespace {

std::uint32_t crc_of(const std::vector<std::uint8_t>& bytes) {
  return crc32c(std::as_bytes(std::span(bytes)));
}

TEST(Crc32c, StandardCheckValue) {
  const std::string text = "123456789";
  EXPECT_EQ(crc32c(std::as_bytes(std::span(text.data(), text.size()))), 0xE3069283U);
  EXPECT_EQ(crc32c({}), 0U);
}

// RFC 3720, appendix B.4.
TEST(Crc32c, ExamplesOfIscsi) {
  EXPECT_EQ(crc_of(std::vector<std::uint8_t>(32, 0)), 0x8A9136AAU);
  EXPECT_EQ(crc_of(std::vector<std::uint8_t>(32, 0xFF)), 0x62A8AB43U);
  std::vector<std::uint8_t> rising(32);
  std::iota(rising.begin(), rising.end(), std::uint8_t{0});
  EXPECT_EQ(crc_of(rising), 0x46DD794EU);
  EXPECT_EQ(crc_of({rising.rbegin(), rising.rend()}), 0x113FDB5CU);
}

TEST(Crc32c, ContinuesWhereverItIsCut) {
  std::vector<std::uint8_t> bytes(37);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::uint8_t>(i * 37 + 5);
  const auto all = std::as_bytes(std::span(bytes));
  const std::uint32_t whole = crc32c(all);
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    EXPECT_EQ(crc32c(all.subspan(cut), crc32c(all.first(cut))), whole) << "cut at " << cut;
    EXPECT_EQ(crc32c_by_tables(all.subspan(cut), crc32c(all.first(cut))), whole) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace tessera
