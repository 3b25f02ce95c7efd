#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/graph/block_graph.h"
#include "workers/segment/owned_graph.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// The rows that graph files and their faces add to the graph of the volume.
struct GraphRows {
  std::vector<ClusterRow> clusters;
  std::vector<BundleRow> bundles;
  std::vector<OverlapRow> overlaps;
  std::vector<BinRow> bins;     ///< of the bundles' histograms
  std::vector<NamePair> joins;  ///< pieces of one basin or component
};

/// A face of a block, and the names of the block's clusters.
struct NamedFace {
  const BlockFace& face;
  std::span<const std::uint64_t> names;
};

/// Adds a block's own rows.
void add_block_rows(const BlockGraph& graph, GraphRows& rows);

/// Adds the rows of a face between two blocks: `below` is the high face of the one block, `above` the low
/// face of the other one, whose box is `box`. `shape`: of the region. In mode sections, only overlaps across
/// z. Histograms where `options` ask for them.
void add_face_rows(const NamedFace& below, const NamedFace& above, const Box& box, int axis,
                   const Index3& shape, const BlockGraphOptions& options, GraphRows& rows);

}  // namespace tessera
