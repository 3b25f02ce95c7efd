#include "io/graph/block_graph_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include "io/base/crc32c.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/staged_file.h"

namespace tessera {
namespace {

constexpr std::string_view kGraphMagic = "TSRGRPH1";
/// Format 2 has histograms.
constexpr std::uint32_t kGraphFormat = 1, kGraphFormatWithHistograms = 2;

/// The first bytes of the file, little-endian like every supported machine.
struct StoredHead {
  std::array<char, 8> magic{};
  std::uint32_t format = kGraphFormat, flags = 0;
  std::array<std::int64_t, 3> begin{}, end{}, shape{};
  std::uint64_t clusters = 0, bundles = 0, overlaps = 0, pieces = 0;
  std::uint32_t piece_crc = 0;
  std::uint32_t bins = 0;  ///< of all histograms: a block has fewer than 2^32 edges
};
static_assert(sizeof(StoredHead) == 128);

bool has_histograms(const StoredHead& head) {
  return (head.flags & BlockGraph::kHistograms) != 0;
}

std::array<std::int64_t, 3> numbers_of(const Index3& index) {
  return {index.z, index.y, index.x};
}
Index3 index_of(const std::array<std::int64_t, 3>& numbers) {
  return {numbers[0], numbers[1], numbers[2]};
}

/// Calls `function(array, length)` for every array of the graph but the faces, in the order of the file.
template <class Graph, class Function>
void for_each_array(Graph& graph, const StoredHead& head, const Function& function) {
  function(graph.name, head.clusters);
  function(graph.size, head.clusters);
  function(graph.value, (head.flags & BlockGraph::kComponents) != 0 ? head.clusters : 0);
  function(graph.bundles.a, head.bundles);
  function(graph.bundles.b, head.bundles);
  function(graph.bundles.sum, head.bundles);
  function(graph.bundles.count, head.bundles);
  function(graph.bundles.saddle, head.bundles);
  function(graph.bundles.edge, head.bundles);
  function(graph.bundles.bins, has_histograms(head) ? head.bundles : 0);
  function(graph.bundles.bin, head.bins);
  function(graph.bundles.bin_count, head.bins);
  function(graph.overlaps.a, head.overlaps);
  function(graph.overlaps.b, head.overlaps);
  function(graph.overlaps.common, head.overlaps);
  function(graph.cluster_of_piece, head.pieces);
}
/// The same of a face.
template <class Face, class Function>
void for_each_array_of_face(Face& face, const StoredHead& head, std::uint64_t voxels,
                            const Function& function) {
  function(face.cluster, voxels);
  function(face.weight, voxels);
  function(face.crosses, voxels);
  function(face.smoothed, (head.flags & BlockGraph::kSmoothed) != 0 ? voxels : 0);
}

Box box_of(const StoredHead& head) {
  return {index_of(head.begin), index_of(head.end)};
}

std::uint64_t face_voxels(const StoredHead& head, int face) {
  return static_cast<std::uint64_t>(face_box(box_of(head), face).voxels());
}

/// The bytes that a file with this head has, without its checksum; 0 for impossible numbers.
std::uint64_t bytes_of(const StoredHead& head) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 40;
  if (head.clusters > kMost || head.bundles > kMost || head.overlaps > kMost || head.pieces > kMost) return 0;
  std::uint64_t bytes = sizeof(StoredHead);
  const auto add = [&]<class T>(const std::vector<T>&, std::uint64_t length) { bytes += length * sizeof(T); };
  const BlockGraph graph;
  for_each_array(graph, head, add);
  const BlockFace empty;
  for (int face = 0; face < 6; ++face) {
    if (has_face(box_of(head), index_of(head.shape), face))
      for_each_array_of_face(empty, head, face_voxels(head, face), add);
  }
  return bytes;
}

/// Errors: Error for a head that no file can have.
void require_possible(const StoredHead& head, const std::filesystem::path& file) {
  const Box box = box_of(head);
  bool possible = std::string_view(head.magic.data(), head.magic.size()) == kGraphMagic &&
                  head.format == (has_histograms(head) ? kGraphFormatWithHistograms : kGraphFormat) &&
                  (has_histograms(head) || head.bins == 0);
  for (int axis = 0; axis < 3 && possible; ++axis) {
    possible = box.begin[axis] >= 0 && box.begin[axis] < box.end[axis] &&
               box.end[axis] <= index_of(head.shape)[axis] &&
               box.end[axis] - box.begin[axis] <= (std::int64_t{1} << 20);
  }
  if (!possible) throw Error(fmt::format("{} is no graph of a block, or its head is damaged", file.string()));
}

/// Errors: Error for a number of a cluster that the block does not have.
void require_clusters(const BlockGraph& graph, const std::filesystem::path& file) {
  const auto require = [&](const std::vector<std::uint32_t>& numbers, bool may_be_none) {
    for (const std::uint32_t one : numbers) {
      if (one < graph.name.size() || (may_be_none && one == BlockGraph::kNoCluster)) continue;
      throw Error(
          fmt::format("{} is damaged: it has cluster {} of {}", file.string(), one, graph.name.size()));
    }
  };
  for (const auto* numbers :
       {&graph.bundles.a, &graph.bundles.b, &graph.overlaps.a, &graph.overlaps.b, &graph.cluster_of_piece})
    require(*numbers, false);
  for (const auto& face : graph.faces) {
    if (face) require(face->cluster, true);
  }
}

StoredHead head_of(const BlockGraph& graph) {
  StoredHead head;
  std::memcpy(head.magic.data(), kGraphMagic.data(), kGraphMagic.size());
  head.flags = graph.flags;
  if (has_histograms(head)) head.format = kGraphFormatWithHistograms;
  head.begin = numbers_of(graph.box.begin);
  head.end = numbers_of(graph.box.end);
  head.shape = numbers_of(graph.shape);
  head.clusters = graph.name.size();
  head.bundles = graph.bundles.a.size();
  head.overlaps = graph.overlaps.a.size();
  head.pieces = graph.cluster_of_piece.size();
  head.piece_crc = graph.piece_crc;
  head.bins = static_cast<std::uint32_t>(graph.bundles.bin.size());
  return head;
}

void read_at(const FileDescriptor& opened, void* to, std::size_t size, std::uint64_t offset,
             const std::filesystem::path& file) {
  auto* at = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t got = ::pread(opened.get(), at, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw Error(fmt::format("cannot read {}: {}", file.string(),
                              got < 0 ? errno_text(errno) : std::string("it is too short")));
    }
    at += got;
    size -= static_cast<std::size_t>(got);
    offset += static_cast<std::uint64_t>(got);
  }
}

}  // namespace

std::filesystem::path block_graph_file(const std::filesystem::path& folder, std::int64_t block) {
  return folder / fmt::format("{:08}.block", block);
}

std::uint32_t write_block_graph(const std::filesystem::path& file, const BlockGraph& graph) {
  const StoredHead head = head_of(graph);
  std::vector<std::byte> bytes(bytes_of(head) + sizeof(std::uint32_t));
  std::memcpy(bytes.data(), &head, sizeof head);
  std::size_t at = sizeof head;
  const auto add = [&]<class T>(const std::vector<T>& values, std::uint64_t length) {
    if (length == 0) return;
    std::memcpy(bytes.data() + at, values.data(), length * sizeof(T));
    at += length * sizeof(T);
  };
  for_each_array(graph, head, add);
  for (int face = 0; face < 6; ++face) {
    const auto& one = graph.faces[static_cast<std::size_t>(face)];
    if (one) for_each_array_of_face(*one, head, face_voxels(head, face), add);
  }
  const std::uint32_t crc = crc32c(std::span(bytes).first(at));
  std::memcpy(bytes.data() + at, &crc, sizeof crc);
  replace_file(file, bytes);
  return crc;
}

StoredBlockGraph read_block_graph(const std::filesystem::path& file) {
  const std::vector<std::byte> bytes = read_file_bytes(file);
  StoredHead head;
  if (bytes.size() < sizeof head) throw Error(fmt::format("{} is too short", file.string()));
  std::memcpy(&head, bytes.data(), sizeof head);
  require_possible(head, file);
  const std::uint64_t size = bytes_of(head);
  if (bytes.size() != size + sizeof(std::uint32_t)) {
    throw Error(fmt::format("{} has {} bytes in place of {}", file.string(), bytes.size(),
                            size + sizeof(std::uint32_t)));
  }
  StoredBlockGraph stored;
  std::memcpy(&stored.crc, bytes.data() + size, sizeof stored.crc);
  if (crc32c(std::span(bytes).first(size)) != stored.crc)
    throw Error(fmt::format("{} is damaged: its checksum does not match", file.string()));
  BlockGraph& graph = stored.graph;
  graph.flags = head.flags;
  graph.box = box_of(head);
  graph.shape = index_of(head.shape);
  graph.piece_crc = head.piece_crc;
  std::size_t at = sizeof head;
  const auto take = [&]<class T>(std::vector<T>& values, std::uint64_t length) {
    values.resize(length);
    if (length == 0) return;
    std::memcpy(values.data(), bytes.data() + at, length * sizeof(T));
    at += length * sizeof(T);
  };
  for_each_array(graph, head, take);
  for (int face = 0; face < 6; ++face) {
    if (has_face(graph.box, graph.shape, face))
      for_each_array_of_face(graph.faces[static_cast<std::size_t>(face)].emplace(), head,
                             face_voxels(head, face), take);
  }
  require_clusters(graph, file);
  return stored;
}

BlockGraph read_block_border(const std::filesystem::path& file, const std::array<bool, 6>& wanted) {
  const FileDescriptor opened(file, O_RDONLY);
  StoredHead head;
  read_at(opened, &head, sizeof head, 0, file);
  require_possible(head, file);
  if (std::filesystem::file_size(file) != bytes_of(head) + sizeof(std::uint32_t))
    throw Error(fmt::format("{} is damaged: its size does not fit its head", file.string()));
  std::uint64_t at = sizeof head;
  bool is_wanted = true;
  const auto take = [&]<class T>(std::vector<T>& values, std::uint64_t length) {
    if (is_wanted && length > 0) {
      values.resize(length);
      read_at(opened, values.data(), length * sizeof(T), at, file);
    }
    at += length * sizeof(T);
  };
  BlockGraph graph;
  graph.flags = head.flags;
  graph.box = box_of(head);
  graph.shape = index_of(head.shape);
  for_each_array(graph, head, [&]<class T>(std::vector<T>& values, std::uint64_t length) {
    const void* one = &values;
    is_wanted = one == &graph.name || one == &graph.value;
    take(values, length);
  });
  for (int face = 0; face < 6; ++face) {
    if (!has_face(graph.box, graph.shape, face)) continue;
    const auto index = static_cast<std::size_t>(face);
    is_wanted = wanted[index];
    BlockFace read;
    for_each_array_of_face(read, head, face_voxels(head, face), take);
    if (is_wanted) graph.faces[index] = std::move(read);
  }
  require_clusters(graph, file);
  return graph;
}

}  // namespace tessera
