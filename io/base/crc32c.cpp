#include "io/base/crc32c.h"

#include <array>
#include <cstring>

namespace tessera {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected 0x1EDC6F41

/// Tables for eight bytes at a time ("slicing by 8").
constexpr auto make_tables() {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][i] = crc;
  }
  for (std::size_t t = 1; t < 8; ++t) {
    for (std::size_t i = 0; i < 256; ++i) {
      tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xFF];
    }
  }
  return tables;
}

constexpr auto kTables = make_tables();

std::uint32_t by_tables(const std::byte* at, std::size_t left, std::uint32_t crc) {
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    word ^= crc;
    crc = 0;
    for (std::size_t i = 0; i < 8; ++i)
      crc ^= kTables[7 - i][(word >> (8 * i)) & 0xFF];
  }
  for (; left > 0; ++at, --left) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<std::uint32_t>(*at)) & 0xFF];
  }
  return crc;
}

#if defined(__x86_64__) && defined(__GNUC__)
/// The SSE 4.2 instruction for this polynomial.
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(const std::byte* at, std::size_t left,
                                                               std::uint32_t crc) {
  std::uint64_t wide = crc;
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = static_cast<std::uint32_t>(wide);
  for (; left > 0; ++at, --left)
    crc = __builtin_ia32_crc32qi(crc, std::to_integer<std::uint8_t>(*at));
  return crc;
}
bool has_instruction() {
  return __builtin_cpu_supports("sse4.2") != 0;
}
#else
std::uint32_t by_instruction(const std::byte* at, std::size_t left, std::uint32_t crc) {
  return by_tables(at, left, crc);
}
bool has_instruction() {
  return false;
}
#endif

}  // namespace

std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t crc) {
  return ~by_tables(bytes.data(), bytes.size(), ~crc);
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc) {
  static const bool fast = has_instruction();
  return ~(fast ? by_instruction : by_tables)(bytes.data(), bytes.size(), ~crc);
}

}  // namespace tessera
