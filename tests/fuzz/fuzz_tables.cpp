// The table of objects of a segmentation, with the checksum of its head corrected.

#include <cstring>
#include <vector>

#include "io/base/crc32c.h"
#include "io/graph/object_table_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  std::vector<std::uint8_t> bytes(data, data + size);
  constexpr std::size_t kBlocksAt = 16, kHead = 88;
  std::uint64_t blocks = 0;
  if (size >= kHead + 4) {
    std::memcpy(&blocks, bytes.data() + kBlocksAt, sizeof blocks);
    if (blocks <= (size - kHead - 4) / 8) {
      const std::size_t end = kHead + 8 * static_cast<std::size_t>(blocks);
      const std::uint32_t crc = crc32c(bytes_of(data, end));
      std::memcpy(bytes.data() + end, &crc, sizeof crc);
    }
  }
  const BytesInFile file(bytes.data(), size, ".tables");
  expect_message([&] {
    const ObjectTables tables(file.path());
    (void)tables.digest();
    for (std::int64_t block = 0; block < tables.blocks() && block < 50; ++block)
      expect_message([&] { (void)tables.read(block); });
  });
  return 0;
}
