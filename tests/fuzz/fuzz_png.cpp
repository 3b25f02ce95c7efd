// PNG images.

#include "io/images/image_stack.h"
#include "io/images/png.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const BytesInFile file(data, size, ".png");
  for (const bool indices : {false, true}) {
    expect_message([&] {
      ImageOptions options;
      options.indices = indices;
      (void)read_png(file.path(), options);
    });
  }
  expect_message([&] { (void)ImageStackReader(file.path()).read_section(0); });
  return 0;
}
