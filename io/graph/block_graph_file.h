#pragma once

#include <array>
#include <cstdint>
#include <filesystem>

#include "io/graph/block_graph.h"

namespace tessera {

/// The graph file of a block in the folder of its segmentation: `00000012.block`.
std::filesystem::path block_graph_file(const std::filesystem::path& folder, std::int64_t block);

/// Writes a block's graph under another name, syncs it, and renames it. docs/files.md has the format. Returns
/// the CRC-32C at the file's end. Errors: Error.
std::uint32_t write_block_graph(const std::filesystem::path& file, const BlockGraph& graph);

/// A graph and the CRC-32C at its file's end.
struct StoredBlockGraph {
  BlockGraph graph;
  std::uint32_t crc = 0;
};

/// Reads and checks a block's graph. Every number of a cluster is below that of the clusters, or kNoCluster
/// in a face. Errors: Error when the file is missing, too short or damaged.
StoredBlockGraph read_block_graph(const std::filesystem::path& file);

/// Reads what another block needs to know of a block: its box, the names and values of its clusters, and the
/// `wanted` ones of its six faces. The checksum is not compared, because it is that of the whole file.
/// Numbers of clusters are as read_block_graph() has them. Errors: Error.
BlockGraph read_block_border(const std::filesystem::path& file, const std::array<bool, 6>& wanted);

}  // namespace tessera
