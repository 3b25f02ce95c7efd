#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/agglomerate/linkage.h"
#include "workers/agglomerate/merge_tree.h"
#include "workers/agglomerate/region_graph.h"

namespace tessera {

/// The graph of objects: bundles between the same two objects are one, those within an object are left out.
/// `object`: of each row the row that names its object, as MergeTree::cut(). Names and sizes are those of the
/// objects. Histograms are left out. Sorted by (a, b).
RegionGraph contracted(const RegionGraph& graph, std::span<const std::uint32_t> object);

/// The score of a bundle, floor(256 sum / count), and of a threshold, floor(256 * 65535 threshold + 0.5).
std::uint64_t bundle_score(std::uint64_t sum, std::uint64_t count);
std::uint64_t threshold_score(double threshold);

/// Merges small objects into their best neighbours, in rounds: each object of fewer than `small_size` voxels
/// chooses the bundle of the largest score, of `lowest_score` at least; of equal ones that with the smallest
/// `edge`, or without edges the smaller pair of names. What the chosen bundles connect becomes one object.
/// Rounds end when no object chooses. Returns the merges with this stage, sorted by `gone`: rows of `graph`.
std::vector<TreeMerge> merge_small_objects(const RegionGraph& graph, std::span<const std::uint32_t> object,
                                           std::uint64_t small_size, std::uint64_t lowest_score,
                                           std::uint32_t stage);

}  // namespace tessera
