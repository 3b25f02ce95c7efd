// HDF5 files: the listing of `info`, the voxels of every volume in it, and what a result says of its journal.

#include "io/hdf5/block_reader.h"
#include "io/hdf5/hdf5_listing.h"
#include "io/hdf5/packed_volume.h"
#include "io/stores/dataset_wildcards.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "tests/fuzz/fuzz.h"

namespace tessera {
namespace {

/// The first voxels of a volume.
void read_corner(Volume& volume) {
  Index3 shape = volume.info().shape;
  for (auto* side : {&shape.z, &shape.y, &shape.x})
    *side = std::min<std::int64_t>(*side, 70);
  (void)volume.read({{0, 0, 0}, shape});
}

/// As `verify` and `pack` read a result.
void read_result(const DatasetName& name) {
  const OutputLayout layout = read_output_layout(name);
  ChunkReader chunks(name.file, layout);
  if (chunks.count() > 0) (void)chunks.read(chunks.count() - 1);
  (void)BlockReader(name).read({{0, 0, 0}, {1, 1, 1}});
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const BytesInFile file(data, size, ".h5");
  expect_message([&] {
    for (const auto& entry : list_hdf5_file(file.path()).entries) {
      const DatasetName name{file.path(), entry.path};
      expect_message([&] { read_corner(*open_labels(name)); });
      expect_message([&] {
        const auto volume = open_volume(name);
        read_corner(*volume);
        (void)completeness_of(volume->info());
      });
      expect_message([&] { read_result(name); });
    }
  });
  expect_message([&] { (void)find_datasets({file.path(), "/*/*"}); });
  return 0;
}
