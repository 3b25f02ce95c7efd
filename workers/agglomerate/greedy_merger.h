#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "workers/agglomerate/cluster_edges.h"
#include "workers/agglomerate/huge_pages.h"

namespace tessera {

/// A half-open range of rows.
struct RowRange {
  std::uint32_t begin = 0, end = std::numeric_limits<std::uint32_t>::max();
  bool has(std::uint32_t row) const { return row >= begin && row < end; }
};

/// Merges clusters greedily: the two with the best bundle first, as long as its linkage is at least the
/// threshold. The larger row goes into the smaller one.
///
/// Clusters outside `own` belong to other owners and do not merge. An own cluster whose best bundle leads
/// outside does not merge either, nor does one whose best bundle leads to such a cluster. All other merges
/// are of reciprocally best pairs, which any owner may do in any order: see docs/agglomeration.md.
///
/// A heap has one entry for each bundle. A bundle only becomes worse when others are added to it, so an old
/// entry comes out of the heap too early, never too late, and is then put back.
class GreedyMerger {
 public:
  /// `edges`: every bundle of the own clusters; between two clusters there may be several. Errors: Error for
  /// 2^31 bundles or more.
  GreedyMerger(ClusterEdges edges, const RowRange& own, const AgglomerationOptions& options);

  /// Merges until nothing is left to merge.
  void run();

  /// What was merged, in that order: linkages never rise.
  const std::vector<GreedyMerge>& merges() const { return merges_; }
  /// The row that names the cluster of a row now.
  std::uint32_t name_of(std::uint32_t row) const;
  /// The bundles that are left, with the clusters' names.
  ClusterEdges take_edges() &&;

 private:
  using Slot = std::uint32_t;  ///< of a cluster
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  struct HeapEntry {
    Fraction linkage;
    std::uint64_t ordinal;
    std::uint32_t edge;
  };
  struct HeapOrder {
    bool operator()(const HeapEntry& x, const HeapEntry& y) const {
      const auto order = x.linkage <=> y.linkage;
      return order < 0 || (order == 0 && x.ordinal > y.ordinal);
    }
  };

  void number_slots();
  void push(std::uint32_t edge);
  void merge(std::uint32_t edge);
  void move_half(std::uint32_t half, Slot to);
  void unite(std::uint32_t whole, std::uint32_t part);

  void list_halves();
  void remove(std::uint32_t edge);

  // The edge between two clusters, by an open hash table. Entries of clusters that are gone stay until it
  // grows.
  struct TableEntry {
    std::uint64_t pair;
    std::uint32_t edge;
  };
  static std::uint64_t pair_of(Slot x, Slot y);
  TableEntry& entry_of(std::uint64_t pair);
  /// Loads the entry into the cache while other work is done: most of the time is spent waiting for it.
  void prefetch(std::uint64_t pair) const;
  void enter(std::uint32_t edge);
  void rebuild_table();

  AgglomerationOptions options_;
  ClusterEdges edges_;
  // Half of edge e at its first or second cluster: 2 e or 2 e + 1.
  HugePageVector<Slot> slot_of_half_;  ///< kNone: the edge is gone
  // The halves of a slot at the start, and the chain of the slots that a cluster consists of. Halves that are
  // gone stay in the lists.
  HugePageVector<std::uint32_t> halves_;
  std::vector<std::size_t> halves_begin_;  ///< of each slot; the end at last
  std::vector<Slot> next_, chain_end_;
  std::vector<std::uint64_t> chain_halves_;  ///< of the whole chain
  std::vector<std::uint32_t> row_of_;        ///< name of each cluster
  std::vector<Slot> parent_;                 ///< the slot that a slot was merged into; itself: none
  std::vector<std::uint8_t> may_not_;        ///< merge: belongs to another owner, or waits for one
  std::vector<std::uint32_t> rows_;          ///< of each slot at the start; rising
  std::uint32_t first_row_ = 0;              ///< slots by row minus first_row_, where rows are dense
  std::vector<Slot> slot_of_row_;            ///< empty where they are not
  HugePageVector<TableEntry> table_;         ///< a power of two
  std::size_t entries_ = 0, live_ = 0;       ///< of the table; edges that are left
  HugePageVector<HeapEntry> heap_;
  std::vector<std::uint32_t> moving_;  ///< the halves that merge() moves
  std::vector<GreedyMerge> merges_;

  Slot slot_of_first_row(std::uint32_t row) const;
};

}  // namespace tessera
