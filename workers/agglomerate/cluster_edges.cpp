#include "workers/agglomerate/cluster_edges.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tessera {
namespace {

/// The sum of two histograms.
std::vector<HistogramBin> united_bins(const std::vector<HistogramBin>& x,
                                      const std::vector<HistogramBin>& y) {
  std::vector<HistogramBin> sum;
  sum.reserve(x.size() + y.size());
  auto i = x.begin(), j = y.begin();
  while (i != x.end() || j != y.end()) {
    if (j == y.end() || (i != x.end() && i->bin < j->bin)) {
      sum.push_back(*i++);
    } else if (i == x.end() || j->bin < i->bin) {
      sum.push_back(*j++);
    } else {
      sum.push_back({i->bin, i->count + j->count});
      ++i;
      ++j;
    }
  }
  return sum;
}

std::uint64_t united_ordinal(const ClusterEdge& x, const ClusterEdge& y,
                             const AgglomerationOptions& options) {
  switch (options.ordinal) {
    case OrdinalRule::smaller:
      return std::min(x.ordinal, y.ordinal);
    case OrdinalRule::of_the_better:
      return x.is_better(y, options.rule.linkage) ? x.ordinal : y.ordinal;
    case OrdinalRule::larger:
      break;
  }
  return std::max(x.ordinal, y.ordinal);
}

}  // namespace

void ClusterEdges::add(const ClusterEdge& edge, std::vector<HistogramBin> histogram) {
  edges.push_back(edge);
  if (!histogram.empty()) bins.push_back(std::move(histogram));
}

void ClusterEdges::add_from(const ClusterEdges& other, std::size_t from) {
  edges.push_back(other.edges[from]);
  if (!other.bins.empty()) bins.push_back(other.bins[from]);
}

void ClusterEdges::unite(std::size_t whole, const ClusterEdges& other, std::size_t part,
                         const AgglomerationOptions& options) {
  ClusterEdge& to = edges[whole];
  const ClusterEdge& from = other.edges[part];
  to.ordinal = united_ordinal(to, from, options);
  to.sum += from.sum;
  to.count += from.count;
  to.saddle = std::max(to.saddle, from.saddle);
  if (options.rule.linkage == Linkage::maximum) to.value = to.saddle;
  if (options.rule.linkage == Linkage::quantile) {
    bins[whole] = united_bins(bins[whole], other.bins[part]);
    to.value = quantile_weight(bins[whole], options.rule.percent);
  }
}

void ClusterEdges::unite_equal(const AgglomerationOptions& options) {
  std::vector<std::size_t> order(size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto key = [&](std::size_t i) { return std::pair(edges[i].a, edges[i].b); };
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) { return key(i) < key(j); });
  ClusterEdges united;
  united.edges.reserve(size());
  for (const std::size_t i : order) {
    const ClusterEdge& edge = edges[i];
    if (!united.edges.empty() && united.edges.back().a == edge.a && united.edges.back().b == edge.b)
      united.unite(united.size() - 1, *this, i, options);
    else
      united.add_from(*this, i);
  }
  *this = std::move(united);
}

ClusterEdges first_edges(const RegionGraph& graph, const LinkageRule& rule) {
  ClusterEdges first;
  first.edges.reserve(graph.bundles());
  for (std::size_t i = 0; i < graph.bundles(); ++i) {
    ClusterEdge edge{graph.a[i], graph.b[i], graph.sum[i], graph.count[i], 0, graph.saddle[i], 0, 0};
    edge.ordinal = (std::uint64_t{graph.a[i]} << 32) | graph.b[i];
    if (rule.linkage == Linkage::maximum) edge.value = edge.saddle;
    if (rule.linkage == Linkage::quantile) {
      const auto bins = graph.bins_of(i);
      edge.value = quantile_weight(bins, rule.percent);
      first.bins.emplace_back(bins.begin(), bins.end());
    }
    first.edges.push_back(edge);
  }
  return first;
}

}  // namespace tessera
