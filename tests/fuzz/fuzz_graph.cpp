// The graph of a block of a segmentation, with its checksum corrected, whole and as another block reads it.

#include <cstring>
#include <vector>

#include "io/base/crc32c.h"
#include "io/graph/block_graph_file.h"
#include "tests/fuzz/fuzz.h"

namespace tessera {
namespace {

/// Every number of a cluster is that of a name: what the readers promise.
void require_named(const BlockGraph& graph, const std::vector<std::uint32_t>& clusters) {
  for (const std::uint32_t one : clusters) {
    if (one != BlockGraph::kNoCluster && one >= graph.name.size()) std::abort();
  }
}

void require_named(const BlockGraph& graph) {
  for (const auto* list :
       {&graph.bundles.a, &graph.bundles.b, &graph.overlaps.a, &graph.overlaps.b, &graph.cluster_of_piece})
    require_named(graph, *list);
  for (const auto& face : graph.faces) {
    if (face) require_named(graph, face->cluster);
  }
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  std::vector<std::uint8_t> bytes(data, data + size);
  if (size >= 4) {
    const std::uint32_t crc = crc32c(bytes_of(data, size - 4));
    std::memcpy(bytes.data() + size - 4, &crc, sizeof crc);
  }
  const BytesInFile file(bytes.data(), size, ".block");
  expect_message([&] { require_named(read_block_graph(file.path()).graph); });
  for (const bool wanted : {false, true}) {
    expect_message([&] {
      require_named(read_block_border(file.path(), {wanted, !wanted, wanted, true, wanted, !wanted}));
    });
  }
  return 0;
}
