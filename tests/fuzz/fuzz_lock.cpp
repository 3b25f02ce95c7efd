// The record in a lock file, as another process left it.

#include <filesystem>

#include "io/base/file_lock.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const std::filesystem::path target = fmt::format("/dev/shm/tessera_fuzz_{}", ::getpid());
  const BytesInFile file(data, size, ".lock", ".");
  expect_message([&] { (void)owner_was_killed(target); });
  expect_message([&] { const FileLock lock(target); });
  return 0;
}
