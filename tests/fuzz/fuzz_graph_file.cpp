// The HDF5 file of a segmentation's graph and tree.

#include "io/hdf5/graph_file.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  const BytesInFile file(data, size, ".graph.h5");
  expect_message([&] { (void)read_graph_file(file.path()); });
  expect_message([&] { (void)read_object_sizes(file.path()); });
  return 0;
}
