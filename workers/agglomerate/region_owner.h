#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "workers/agglomerate/cluster_edges.h"
#include "workers/agglomerate/greedy_merger.h"
#include "workers/agglomerate/owner_exchange.h"

namespace tessera {

/// Which owner a cluster belongs to: by the row that names it. Owner i has the rows [begins[i],
/// begins[i + 1]).
struct OwnerRows {
  std::vector<std::uint32_t> begins;  ///< rising, from 0 to the number of rows

  std::size_t owners() const { return begins.size() - 1; }
  std::size_t owner_of(std::uint32_t row) const;
  RowRange range_of(std::size_t owner) const { return {begins[owner], begins[owner + 1]}; }
  /// About the same number of rows for each.
  static OwnerRows even(std::uint32_t rows, std::size_t owners);
};

/// The clusters of one owner, with all their bundles. A bundle between clusters of two owners is known to
/// both. All methods that take or return OwnerBytes are steps of a round: every owner makes the same step,
/// and then the bytes are exchanged. See agglomerate_by_owners().
class RegionOwner {
 public:
  RegionOwner(const OwnerRows& rows, std::size_t owner, const AgglomerationOptions& options)
      : rows_(&rows), owner_(owner), options_(options) {}

  /// What the other owners, or this one, must know of a share of the first bundles.
  OwnerBytes distribute(const ClusterEdges& share) const;
  /// Adds bundles that were sent to this owner.
  void add_edges(const OwnerBytes& received);

  /// Merges all reciprocally best pairs of own clusters until none is left. Returns the new names of
  /// clusters, for the owners of their neighbours.
  OwnerBytes merge_own();
  void rename(const OwnerBytes& received);
  /// For each own cluster whose best bundle leads to another owner's cluster: the two, for that owner.
  OwnerBytes propose() const;
  /// Pairs that propose each other merge. Returns new names as merge_own() does.
  OwnerBytes accept(const OwnerBytes& received);
  /// Takes in the new names, gives up the clusters that were merged into another owner's, and returns their
  /// bundles.
  OwnerBytes move(const OwnerBytes& received);

  /// Bundles that are left; a bundle between two owners counts for one of them.
  std::int64_t edge_count() const;
  std::int64_t merge_count() const;
  /// Bundles, counted likewise, that are good enough to merge.
  std::int64_t open_edge_count() const;
  /// The bundles that edge_count() counts, for owner `root` alone; this owner has none afterwards.
  OwnerBytes give_all(std::size_t root);
  /// Merges all that is left. Returns the merges, for the owners of the rows that are gone.
  OwnerBytes merge_rest();
  void add_merges(const OwnerBytes& received);

  /// Of the own rows that are gone, rising.
  std::vector<GreedyMerge> take_merges() &&;

 private:
  struct Rename {
    std::uint32_t from, to;
  };
  /// An own cluster and the owner of a neighbour.
  struct Border {
    std::uint32_t row;
    std::uint32_t owner;
    friend auto operator<=>(const Border&, const Border&) = default;
  };

  bool is_own(std::uint32_t row) const { return rows_->range_of(owner_).has(row); }
  bool counts(const ClusterEdge& edge) const { return is_own(edge.a); }
  std::vector<Border> borders() const;
  /// Sends each rename of an own cluster to the owners of its neighbours.
  OwnerBytes messages(const std::vector<Border>& borders,
                      const std::unordered_map<std::uint32_t, std::uint32_t>& to) const;
  void rename_edges(const std::unordered_map<std::uint32_t, std::uint32_t>& to);
  /// Of each own cluster the other end of its best bundle, if that is good enough, and the bundle's number.
  struct Best {
    std::uint32_t other;
    std::size_t edge;
  };
  std::unordered_map<std::uint32_t, Best> best_edges() const;

  const OwnerRows* rows_;
  std::size_t owner_;
  AgglomerationOptions options_;
  ClusterEdges edges_;
  std::vector<GreedyMerge> merges_;
  std::unordered_map<std::uint32_t, std::uint32_t> accepted_;  ///< own clusters that are gone, and into which
};

/// Collective. Agglomerates a graph whose bundles are spread over the owners, in rounds: each owner merges
/// what it sees whole, then pairs of two owners' clusters merge. As soon as at most `gather_edges` bundles
/// are left, one owner merges the rest. `shares`: of each owner of this process. The result is that of
/// agglomerate(), for any number of owners, any `rows` and any `gather_edges`. Returns, for each owner of
/// this process, the merges of its rows that are gone, rising.
std::vector<std::vector<GreedyMerge>> agglomerate_by_owners(const std::vector<ClusterEdges>& shares,
                                                            const OwnerRows& rows,
                                                            const AgglomerationOptions& options,
                                                            std::int64_t gather_edges,
                                                            const OwnerExchange& exchange);

}  // namespace tessera
