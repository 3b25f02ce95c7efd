// The archive of a TorchScript file.

#include "io/base/zip_check.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  expect_message([&] { require_intact_zip(bytes_of(data, size), "fuzz.pt"); });
  return 0;
}
