#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "workers/segment/graph_stage.h"
#include "workers/segment/segment_job.h"

namespace tessera {

/// What a rank reads of the graph files: those of its share of the blocks, and of the faces behind them.
struct GraphShare {
  GraphRows rows;
  std::vector<std::int64_t> blocks;
  std::vector<std::vector<std::uint64_t>> names;  ///< of the clusters of each of these blocks
  std::vector<std::int64_t> bad;  ///< blocks whose file is missing, damaged, or not the journal's
};

/// Reads the share of `rank`, of `ranks`. `crcs`: of every block's file, as in the journal.
GraphShare read_graph_share(const SegmentJob& job, std::span<const std::uint32_t> crcs, int rank, int ranks);

/// The numbers of a finished graph stage.
struct GraphSums {
  std::int64_t clusters = 0, bundles = 0;  ///< of the blocks and faces
  std::int64_t fragments = 0, fragment_bundles = 0;
  std::vector<std::int64_t> objects_after_stage;
  std::int64_t objects = 0;  ///< of the result
};

/// How the files of the graph stage are marked.
struct GraphMark {
  std::string digest;              ///< of the job, 64 digits; empty: no tables of objects are wanted
  std::string supervoxels_digest;  ///< of the first pass, likewise of tables of supervoxels
  std::map<std::string, std::string> attributes;  ///< of the graph's file
};

/// Collective. Merges the graph, and puts in place the graph's file (not for components), the blocks' tables
/// of supervoxels (likewise), then those of objects. `graph_file`: an HDF5 file. Errors: AgreedError;
/// UsageError for more objects than uint32 has, where ids are compact.
GraphSums write_volume_graph(const SegmentJob& job, GraphShare share, const MergeOptions& merge,
                             const GraphStageOptions& options, const std::filesystem::path& graph_file,
                             const GraphMark& mark, const Communicator& world);

}  // namespace tessera
