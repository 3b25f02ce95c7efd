// Journals of results, with the head's checksum corrected: a changed head then reaches its parser.

#include <algorithm>
#include <cstring>
#include <vector>

#include "io/base/crc32c.h"
#include "io/volume/block_journal.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const auto given = bytes_of(data, size);
  std::vector<std::byte> bytes(given.begin(), given.end());
  std::uint32_t head = 0;
  if (size >= 20) {
    std::memcpy(&head, bytes.data() + 12, sizeof head);
    if (head <= size - 20) {
      const std::uint32_t crc = crc32c(std::span(bytes).first(16 + head));
      std::memcpy(bytes.data() + 16 + head, &crc, sizeof crc);
    }
  }
  expect_message([&] {
    const JournalContents journal = parse_journal(bytes, "fuzz.journal");
    for (const auto& record : journal.records)
      (void)journal.head.blocks.block(record.block);
    (void)digest_of(journal.head.job);
    if (journal.head.blocks.count() < 1'000'000) (void)journal.unknown_blocks();
  });
  return 0;
}
