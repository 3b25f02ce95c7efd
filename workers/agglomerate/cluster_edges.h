#pragma once

#include <cstdint>
#include <vector>

#include "workers/agglomerate/huge_pages.h"
#include "workers/agglomerate/linkage.h"
#include "workers/agglomerate/region_graph.h"

namespace tessera {

/// The ordinal of two bundles that become one. With `larger` a merged bundle is never better than the better
/// of its parts, so that the order of merging does not change the result. The other rules are wrong and exist
/// so that tests can show it.
enum class OrdinalRule { larger, smaller, of_the_better };

struct AgglomerationOptions {
  LinkageRule rule;
  Fraction threshold;  ///< on the scale of weights; clusters merge whose linkage is at least this
  OrdinalRule ordinal = OrdinalRule::larger;
};

/// One merge: the cluster named by row `gone` became part of the one named by row `into` < `gone`.
struct GreedyMerge {
  std::uint32_t gone = 0, into = 0;
  std::uint64_t sum = 0, count = 0;  ///< of the bundle between them
  std::uint16_t value = 0;           ///< its quantile or maximum; 0 for means

  /// At which the two merged.
  Fraction linkage(Linkage kind) const {
    return kind == Linkage::mean ? Fraction{sum, count} : Fraction{value, 1};
  }
  friend bool operator==(const GreedyMerge&, const GreedyMerge&) = default;
};

/// The bundle between two clusters while they merge. 40 bytes, sent between ranks as they are.
struct ClusterEdge {
  std::uint32_t a = 0, b = 0;  ///< rows that name the clusters, a < b
  std::uint64_t sum = 0, count = 0;
  std::uint64_t ordinal = 0;  ///< decides between equal linkages: the smaller is better. Unique
  std::uint16_t saddle = 0;
  std::uint16_t value = 0;  ///< quantile or maximum
  std::uint32_t unused = 0;

  Fraction linkage(Linkage kind) const {
    return kind == Linkage::mean ? Fraction{sum, count} : Fraction{value, 1};
  }
  /// Whether this bundle is better than another one.
  bool is_better(const ClusterEdge& other, Linkage kind) const {
    const auto order = linkage(kind) <=> other.linkage(kind);
    return order > 0 || (order == 0 && ordinal < other.ordinal);
  }
};

/// Bundles and, for quantiles, their histograms.
struct ClusterEdges {
  HugePageVector<ClusterEdge> edges;
  std::vector<std::vector<HistogramBin>> bins;  ///< of each edge; empty but for quantiles

  std::size_t size() const { return edges.size(); }
  void add(const ClusterEdge& edge, std::vector<HistogramBin> histogram);
  /// Adds edge `from` of `other`.
  void add_from(const ClusterEdges& other, std::size_t from);
  /// Adds edge `part` of `other`, a bundle between the same clusters, to edge `whole`.
  void unite(std::size_t whole, const ClusterEdges& other, std::size_t part,
             const AgglomerationOptions& options);
  /// Unites the edges between the same clusters. Sorts by (a, b).
  void unite_equal(const AgglomerationOptions& options);
};

/// The bundles of a graph before the first merge. The ordinal is the pair (a, b).
ClusterEdges first_edges(const RegionGraph& graph, const LinkageRule& rule);

}  // namespace tessera
