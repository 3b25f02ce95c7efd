#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/agglomerate/cluster_edges.h"

namespace tessera {

/// At `stage` the cluster named by row `gone` became part of the one named by row `into`.
struct TreeMerge {
  std::uint32_t gone = 0, into = 0;
  std::uint32_t stage = 0;  ///< from 1
  friend bool operator==(const TreeMerge&, const TreeMerge&) = default;
};

/// How supervoxels, which are rows by rising name, became objects. The objects after any stage follow from
/// it.
class MergeTree {
 public:
  /// Errors: Error unless every row is gone at most once, into a smaller one, and stages do not fall from
  /// `gone` to `into` on.
  MergeTree(std::uint32_t rows, std::span<const TreeMerge> merges);

  std::uint32_t rows() const { return static_cast<std::uint32_t>(into_.size()); }
  std::uint32_t stages() const { return stages_; }
  /// The row that names the object of each row after `stage`; 0: supervoxels. One pass over the rows.
  std::vector<std::uint32_t> cut(std::uint32_t stage) const;

 private:
  std::vector<std::uint32_t> into_;   ///< itself: not gone
  std::vector<std::uint32_t> stage_;  ///< of the rows that are gone
  std::uint32_t stages_ = 0;
};

/// The first stage, from 1, whose threshold this linkage reaches; 0 where it reaches none.
std::uint32_t stage_reached(const Fraction& linkage, std::span<const Fraction> falling_thresholds);

/// The merges of agglomerate(), which any threshold can cut, as stages of falling thresholds: the stage of a
/// merge is the first one, from 1, whose threshold its linkage reaches. Merges below the last one are left
/// out. Sorted by `gone`.
std::vector<TreeMerge> in_stages(std::span<const GreedyMerge> merges, Linkage linkage,
                                 std::span<const Fraction> falling_thresholds);

/// What the ids of objects are.
enum class ObjectIdKind {
  canonical,  ///< name + 1: the place of the object's first voxel
  compact     ///< 1, 2, ... by rising name
};

/// The id of each row's object after a cut; 0 where the object has fewer than `min_size` voxels. `name` and
/// `size`: of each row. `objects`: as MergeTree::cut().
std::vector<std::uint64_t> object_ids(std::span<const std::uint32_t> objects,
                                      std::span<const std::uint64_t> name,
                                      std::span<const std::uint64_t> size, std::uint64_t min_size,
                                      ObjectIdKind kind = ObjectIdKind::canonical);

}  // namespace tessera
