#pragma once

#include <cstdint>
#include <vector>

#include "workers/agglomerate/cluster_edges.h"
#include "workers/agglomerate/region_graph.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Merges the two clusters with the best bundle until no linkage reaches the threshold; of equal linkages the
/// smaller ordinal is better (docs/agglomeration.md). The larger row goes into the smaller one. The merges in
/// the order of merging: their linkages never rise. Errors: Error where the graph breaks a rule.
std::vector<GreedyMerge> agglomerate(const RegionGraph& graph, const AgglomerationOptions& options);

/// How many bundles one rank merges alone, in about 1.2 GiB.
inline constexpr std::int64_t kGatherEdges = std::int64_t{1} << 23;

/// Collective. The same merges for a graph whose bundles are spread over the ranks in any way: `share` has
/// this rank's, with the rows of the whole graph, of which there are `rows`. Its names and sizes are not
/// needed. Each rank gets the merges of its rows that are gone, rising: rank i those of the i-th of as many
/// equal parts as there are ranks. Together they are the same for any number of ranks and any
/// `gather_edges`, the number of bundles from which on one rank merges the rest. Errors, on every rank:
/// Error.
std::vector<GreedyMerge> agglomerate(const RegionGraph& share, std::uint64_t rows,
                                     const AgglomerationOptions& options, const Communicator& world,
                                     std::int64_t gather_edges = kGatherEdges);

}  // namespace tessera
