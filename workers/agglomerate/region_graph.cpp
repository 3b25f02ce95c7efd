#include "workers/agglomerate/region_graph.h"

#include <fmt/format.h>

#include "io/base/error.h"

namespace tessera {
namespace {

constexpr std::uint64_t kMostRows = std::uint64_t{1} << 32;
constexpr std::uint64_t kMostSum = std::uint64_t{1} << 56, kMostCount = std::uint64_t{1} << 48;

[[noreturn]] void throw_bundle(std::size_t i, const std::string& why) {
  throw Error(
      fmt::format("bundle {} of the region graph {} (is the graph file damaged? make it again)", i, why));
}

void require_bins(const RegionGraph& graph, std::size_t i) {
  if (graph.bin_begin[i] >= graph.bin_begin[i + 1] || graph.bin_begin[i + 1] > graph.bins.size())
    throw_bundle(i, "has no histogram");
  std::uint64_t total = 0;
  int last = -1;
  for (const HistogramBin& one : graph.bins_of(i)) {
    if (static_cast<int>(one.bin) <= last || one.count == 0)
      throw_bundle(i, "has a histogram with bins that do not rise");
    last = static_cast<int>(one.bin);
    total += one.count;
  }
  if (total != graph.count[i])
    throw_bundle(i, fmt::format("has {} edges, but {} in its histogram", graph.count[i], total));
}

}  // namespace

void require_valid_bundles(const RegionGraph& graph, std::uint64_t rows, Linkage linkage) {
  const std::size_t bundles = graph.bundles();
  if (rows >= kMostRows)
    throw Error(fmt::format("the region graph has {} regions; at most 2^32 - 1 can be agglomerated", rows));
  if (graph.b.size() != bundles || graph.sum.size() != bundles || graph.count.size() != bundles ||
      graph.saddle.size() != bundles || (!graph.edge.empty() && graph.edge.size() != bundles))
    throw Error(
        "the arrays of the region graph's bundles differ in length (is the graph file damaged? make it "
        "again)");
  if (linkage == Linkage::quantile && bundles > 0 && graph.bin_begin.size() != bundles + 1)
    throw Error(
        "the region graph has no histograms, which quantile linkage needs: make the graph again with "
        "linkage: quantile");
  for (std::size_t i = 0; i < bundles; ++i) {
    if (graph.a[i] >= graph.b[i] || graph.b[i] >= rows)
      throw_bundle(i, fmt::format("connects the regions {} and {} of {}", graph.a[i], graph.b[i], rows));
    if (graph.count[i] == 0 || graph.count[i] >= kMostCount || graph.sum[i] >= kMostSum ||
        graph.sum[i] > kProbabilityOne * graph.count[i])
      throw_bundle(i, fmt::format("has the sum {} of {} weights", graph.sum[i], graph.count[i]));
    if (linkage == Linkage::quantile) require_bins(graph, i);
  }
}

void require_valid(const RegionGraph& graph, Linkage linkage) {
  if (graph.size.size() != graph.rows())
    throw Error(fmt::format("the region graph has {} names and {} sizes", graph.rows(), graph.size.size()));
  for (std::size_t i = 1; i < graph.rows(); ++i) {
    if (graph.name[i - 1] >= graph.name[i])
      throw Error(fmt::format(
          "the names of the regions {} and {} do not rise: {}, {} (is the graph file damaged? make it again)",
          i - 1, i, graph.name[i - 1], graph.name[i]));
  }
  require_valid_bundles(graph, graph.rows(), linkage);
}

}  // namespace tessera
