// TIFF stacks, with the decisions that make most files readable.

#include <vector>

#include "io/images/tiff_reader.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const BytesInFile file(data, size, ".tif");
  for (const bool indices : {false, true}) {
    expect_message([&] {
      ImageOptions options;
      options.indices = indices;
      options.white_is_zero = WhiteIsZero::keep;
      if (indices) options.channel = options.time = ImageOptions::kAsSections;
      TiffReader reader(file.path(), options);
      const auto bytes =
          reader.shape().y * reader.shape().x * static_cast<std::int64_t>(size_of(reader.type()));
      if (bytes > (std::int64_t{1} << 26)) return;
      std::vector<std::byte> voxels(static_cast<std::size_t>(bytes));
      for (std::int64_t z = 0; z < std::min<std::int64_t>(reader.shape().z, 4); ++z)
        reader.read_section(z, voxels);
    });
  }
  return 0;
}
