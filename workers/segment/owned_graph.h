#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "workers/agglomerate/linkage.h"
#include "workers/mpi/communicator.h"
#include "workers/segment/name_index.h"
#include "workers/segment/row_exchange.h"

namespace tessera {

struct ClusterRow {
  std::uint64_t name = 0, size = 0;
};

/// All voxel edges between two clusters, which are named, a < b.
struct BundleRow {
  std::uint64_t a = 0, b = 0;
  std::uint64_t sum = 0, count = 0;  ///< of weights, of edges
  std::uint64_t edge = 0;            ///< the smallest id of an edge of weight `saddle`
  std::int64_t saddle = 0;           ///< the largest weight

  /// A mean weight with 8 fractional bits, rounded down.
  std::uint64_t score() const { return (sum << 8) / count; }
};

/// One bin of the histogram of a bundle's weights.
struct BinRow {
  std::uint64_t a = 0, b = 0;  ///< as those of the bundle
  HistogramBin bin{};
};

/// How many voxels of b, in one section, are over a, in the section before.
struct OverlapRow {
  std::uint64_t a = 0, b = 0, common = 0;
};

/// Two clusters that are one.
struct NamePair {
  std::uint64_t a = 0, b = 0;
};

/// The cluster `name` became part of `into` at `stage`.
struct MergeRow {
  std::uint64_t name = 0, into = 0;
  std::int64_t stage = 0;
  /// Of greedy merges: the linkage between the two as a fraction, on the scale of weights. Else 0.
  std::uint64_t sum = 0, count = 0;
};

/// A cluster's choice of a neighbour.
struct ChoiceRow {
  std::uint64_t name = 0, other = 0;
  std::uint64_t key = 0, edge = 0;

  /// Whether this is the better one of two of the same cluster.
  bool is_better(const ChoiceRow& than) const { return key != than.key ? key > than.key : edge < than.edge; }
};

/// A graph of clusters that is spread over the ranks. A cluster is at the rank that a hash of its name gives,
/// a bundle or an overlap at that of its smaller end. Results depend neither on the number of ranks nor on
/// the order in which rows arrive. Every method with the word "collective" must be called on all ranks.
class OwnedGraph {
 public:
  explicit OwnedGraph(const Communicator& world) : world_(world) {}

  /// Collective. Adds rows. Those of one name or pair are summed.
  void add(std::vector<ClusterRow> clusters, std::vector<BundleRow> bundles, std::vector<OverlapRow> overlaps,
           std::vector<BinRow> bins = {});

  /// Of this rank, ordered by name, and by (a, b).
  const std::vector<std::uint64_t>& names() const { return names_; }
  const std::vector<std::uint64_t>& sizes() const { return sizes_; }
  const std::vector<BundleRow>& bundles() const { return bundles_; }
  const std::vector<OverlapRow>& overlaps() const { return overlaps_; }
  /// The histograms of the bundles, ordered by (a, b, bin); empty where none were added.
  const std::vector<BinRow>& bins() const { return bins_; }
  std::vector<ClusterRow> clusters() const;
  const Communicator& world() const { return world_; }

  /// Collective. Makes one cluster of the connected components of `pairs`, whose names any rank may own. Its
  /// name is the smallest. Appends what disappears to merges().
  void unite(std::vector<NamePair> pairs, std::int64_t stage);
  /// Collective. Makes the merges of a tree, in which no name disappears twice and every `into` is smaller.
  /// Any rank may have any of the rows. Appends them to merges() as they are.
  void apply(std::vector<MergeRow> merges);
  /// Collective. Each cluster's best bundle of at least `lowest`: by the largest key, then the smallest edge.
  /// `key`: of a BundleRow. `may`: whether the cluster at this place of names() chooses. Ordered by name.
  template <class KeyOf, class May>
  std::vector<ChoiceRow> choices(const KeyOf& key, std::uint64_t lowest, const May& may) const;
  /// Collective. `value(place)` of each named cluster, at its owner.
  template <MessageValue Value, class ValueOf>
  std::vector<Value> ask(std::span<const std::uint64_t> names, const ValueOf& value) const {
    return asked_rows<Value>(world_, names, owner(),
                             [&](std::uint64_t name) { return value(index_.find(name)); });
  }
  /// Collective: rows to the owner of the name that `name(row)` gives.
  template <MessageValue Row, class NameOf>
  std::vector<Row> send(std::vector<Row> rows, const NameOf& name) const {
    return sent_rows(world_, std::move(rows),
                     [&](const Row& row) { return owner_of_name(name(row), world_.size()); });
  }

  /// What disappeared at this rank, in order.
  const std::vector<MergeRow>& merges() const { return merges_; }
  std::vector<MergeRow> take_merges() { return std::exchange(merges_, {}); }
  void drop_overlaps() { overlaps_ = {}; }

 private:
  struct Owner {
    int ranks = 1;
    int operator()(std::uint64_t name) const { return owner_of_name(name, ranks); }
  };
  Owner owner() const { return {world_.size()}; }
  void add_edges(std::vector<BundleRow> bundles, std::vector<OverlapRow> overlaps, std::vector<BinRow> bins);
  std::vector<std::uint64_t> roots_of(std::vector<NamePair> pairs) const;
  void follow(std::vector<std::uint64_t>& roots) const;
  void contract(const std::vector<std::uint64_t>& roots);
  template <class Row>
  std::vector<Row> renamed(std::vector<Row>& rows, const std::vector<std::uint64_t>& roots) const;

  const Communicator& world_;
  std::vector<std::uint64_t> names_, sizes_;
  NameIndex index_;
  std::vector<BundleRow> bundles_;
  std::vector<OverlapRow> overlaps_;
  std::vector<BinRow> bins_;
  bool has_bins_ = false;  ///< some rank has, or had
  std::vector<MergeRow> merges_;
};

template <class KeyOf, class May>
std::vector<ChoiceRow> OwnedGraph::choices(const KeyOf& key, std::uint64_t lowest, const May& may) const {
  constexpr std::uint64_t kNobody = ~std::uint64_t{0};
  std::vector<ChoiceRow> best(names_.size(), {0, kNobody, 0, 0});
  const auto offer = [&](std::size_t place, const ChoiceRow& row) {
    if (may(place) && (best[place].other == kNobody || row.is_better(best[place]))) best[place] = row;
  };
  std::vector<ChoiceRow> offers;  // to clusters of other ranks
  for (const BundleRow& one : bundles_) {
    const std::uint64_t value = key(one);
    if (value < lowest) continue;
    offer(index_.find(one.a), {one.a, one.b, value, one.edge});
    const ChoiceRow other{one.b, one.a, value, one.edge};
    if (world_.size() == 1 || owner()(one.b) == world_.rank()) {
      offer(index_.find(one.b), other);
    } else {
      offers.push_back(other);
    }
  }
  // Only the best offer to each cluster is sent.
  std::sort(offers.begin(), offers.end(), [](const ChoiceRow& x, const ChoiceRow& y) {
    return x.name != y.name ? x.name < y.name : x.is_better(y);
  });
  offers.erase(std::unique(offers.begin(), offers.end(),
                           [](const ChoiceRow& x, const ChoiceRow& y) { return x.name == y.name; }),
               offers.end());
  for (const ChoiceRow& one : send(std::move(offers), [](const ChoiceRow& row) { return row.name; }))
    offer(index_.find(one.name), one);
  std::erase_if(best, [](const ChoiceRow& row) { return row.other == kNobody; });
  return best;
}

}  // namespace tessera
