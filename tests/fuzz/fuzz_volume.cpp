// HDF5 files: the listing of `info`, and the voxels of every volume in it.

#include "io/hdf5/hdf5_listing.h"
#include "io/stores/open_volume.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const BytesInFile file(data, size, ".h5");
  expect_message([&] {
    for (const auto& entry : list_hdf5_file(file.path()).entries) {
      expect_message([&] {
        const auto volume = open_labels({file.path(), entry.path});
        Index3 shape = volume->info().shape;
        for (auto& side : {&shape.z, &shape.y, &shape.x})
          *side = std::min<std::int64_t>(*side, 70);
        (void)volume->read({{0, 0, 0}, shape});
      });
    }
  });
  return 0;
}
