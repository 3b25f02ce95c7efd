#pragma once

#include <cstdint>
#include <vector>

#include "workers/segment/face_join.h"
#include "workers/segment/graph_merges.h"

namespace tessera {

/// Where the merges are computed.
struct GraphStageOptions {
  /// Rank 0 alone computes the merges of a graph of at most so many rows: messages would take longer than the
  /// work. The result is the same. 100 MiB.
  std::int64_t gather_rows = std::int64_t{1} << 21;
  bool fragments = true;  ///< whether step 3 is done; not for components
};

/// What the merges end with. Each rank has some rows of each.
struct GraphResult {
  std::vector<std::uint64_t> clusters;  ///< the names of the blocks' clusters; this rank owns them
  std::vector<ClusterRow> fragments;
  std::vector<BundleRow> bundles;  ///< between fragments
  std::vector<ClusterRow> objects;
  std::vector<MergeRow> merges;  ///< every name that disappeared, once
};

/// Collective. Steps 2 to 6 on the rows of all blocks and faces, which the ranks hold in any distribution.
GraphResult merge_graph(GraphRows rows, const BlockGraphOptions& block, const MergeOptions& merge,
                        const GraphStageOptions& options, const Communicator& world);

/// The rank of a name in a partition by ranges: the names of rank 0 are the smallest.
int range_owner(std::uint64_t name, std::uint64_t voxels, int ranks);

/// The ids of objects, spread over the ranks.
class ObjectIds {
 public:
  /// Collective. `voxels`: of the region.
  ObjectIds(const GraphResult& graph, const MergeOptions& merge, std::uint64_t voxels,
            const Communicator& world);

  /// Collective. The id of the object that each of these clusters of blocks is part of; 0 for objects of
  /// fewer than `min_size` voxels.
  std::vector<std::uint64_t> ids_of(std::span<const std::uint64_t> clusters) const;
  /// Collective. The name of that object.
  std::vector<std::uint64_t> objects_of(std::span<const std::uint64_t> clusters) const;
  /// The objects of the result, on every rank.
  std::int64_t count() const { return count_; }

 private:
  void resolve(const GraphResult& graph);

  const Communicator& world_;
  NameIndex index_;                    ///< of the clusters that this rank owns
  std::vector<std::uint64_t> object_;  ///< of each
  std::vector<std::uint64_t> id_;      ///< likewise
  std::int64_t count_ = 0;
};

}  // namespace tessera
