#pragma once

#include <cstdint>
#include <span>

#include "workers/agglomerate/linkage.h"
#include "workers/segment/owned_graph.h"

namespace tessera {

/// Collective. Merges the two clusters with the best bundle, again and again, as long as its linkage is at
/// least the last of the thresholds, which fall (docs/agglomeration.md). The stage of a merge is
/// `first_stage` for linkages that reach the first threshold, one more for those that reach the second, and
/// so on. Quantiles need the histograms of all bundles. Errors, on every rank: Error for 2^32 clusters or
/// more, and where histograms are missing.
void merge_greedily(OwnedGraph& graph, const LinkageRule& rule, std::span<const Fraction> falling_thresholds,
                    std::int64_t first_stage);

}  // namespace tessera
