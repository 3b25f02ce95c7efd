// JSON in Tessera's files: the job of a result.

#include <string>

#include "io/volume/block_journal.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::string text(reinterpret_cast<const char*>(data), size);
  expect_message([&] { (void)digest_of(job_from_json(text, "fuzz.json")); });
  return 0;
}
