// Checkpoints.

#include "io/hdf5/checkpoint_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  expect_message([&] {
    const auto bytes = bytes_of(data, size);
    (void)parse_checkpoint({bytes.begin(), bytes.end()}, "fuzz.h5");
  });
  return 0;
}
