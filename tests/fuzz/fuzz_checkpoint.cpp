// Checkpoints, as they are and with the checksum of their bytes corrected: a changed file then reaches the
// HDF5 library.

#include <cstring>
#include <vector>

#include "io/base/crc32c.h"
#include "io/hdf5/checkpoint_file.h"
#include "tests/fuzz/fuzz.h"

namespace tessera {
namespace {

/// Sets the size and the CRC-32C in the checksum block (docs/files.md) to those of the bytes.
void correct_checksum(std::vector<std::byte>& bytes) {
  constexpr std::size_t kVersionAt = 8, kSizeAt = 16, kCrcAt = 24, kCrcEnd = 28;
  if (bytes.size() < kCrcEnd) return;
  const std::uint32_t version = 1;
  const std::uint64_t size = bytes.size();
  std::memcpy(bytes.data() + kVersionAt, &version, sizeof version);
  std::memcpy(bytes.data() + kSizeAt, &size, sizeof size);
  const auto all = std::span<const std::byte>(bytes);
  const std::uint32_t crc = crc32c(all.subspan(kCrcEnd), crc32c(all.first(kCrcAt)));
  std::memcpy(bytes.data() + kCrcAt, &crc, sizeof crc);
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const auto given = bytes_of(data, size);
  std::vector<std::byte> bytes(given.begin(), given.end());
  expect_message([&] { (void)parse_checkpoint(bytes, "fuzz.h5"); });
  correct_checksum(bytes);
  expect_message([&] { (void)parse_checkpoint(bytes, "fuzz.h5"); });
  return 0;
}
