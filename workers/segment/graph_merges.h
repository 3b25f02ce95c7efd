#pragma once

#include <cstdint>

#include "workers/segment/owned_graph.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// The stage of a MergeRow before the first of MergeOptions::stages.
constexpr std::int64_t kPieceStage = -1;    ///< pieces of one basin or component
constexpr std::int64_t kFragmentStage = 0;  ///< basins of one fragment

/// Collective. Step 3: clusters of fewer than `fragment_size` voxels join the neighbour of their best edge,
/// of weight `floor` at least. By rounds, or on one rank in the order of Kruskal's algorithm, with the same
/// result.
void merge_fragments(OwnedGraph& graph, std::int64_t fragment_size, std::int64_t floor);
/// Collective. The same by rounds. A small cluster joins when the other one is large, or has the same best
/// edge.
void merge_fragments_in_rounds(OwnedGraph& graph, std::int64_t fragment_size, std::int64_t floor);

/// Collective. Steps 4 to 6: every stage of `options`. Stages are numbered from 1.
void run_merge_stages(OwnedGraph& graph, const MergeOptions& options);

}  // namespace tessera
