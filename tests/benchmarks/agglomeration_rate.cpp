// Measures the agglomeration of a region graph: bundles per second of the heap, for each linkage, and by
// owners.
//
//   bench_agglomeration [ROWS]           a random graph of so many regions (default 300000), 7 bundles each
//   bench_agglomeration FILE THRESHOLD   bundles from a file of lines "a b sum count"; prints the merges too
//
// tests/benchmarks/agglomeration_rate.py runs the second form beside Python programs.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "io/base/clock.h"
#include "workers/agglomerate/agglomeration.h"
#include "workers/agglomerate/region_owner.h"
#include "workers/numbers/random_stream.h"

namespace tessera {
namespace {

/// Regions in a cubic grid of 6 neighbours and one more a few rows away: means and contact areas as those of
/// supervoxels.
RegionGraph random_graph(std::uint32_t rows, bool with_bins) {
  RegionGraph graph;
  RandomStream random(1, 0, 0);
  std::uint32_t side = 1;
  while (side * side * side < rows)
    ++side;
  for (std::uint32_t row = 0; row < rows; ++row) {
    graph.name.push_back(row);
    graph.size.push_back(300);
  }
  graph.bin_begin.push_back(0);
  const auto add = [&](std::uint32_t a, std::uint32_t b) {
    if (b >= rows) return;
    const auto count = static_cast<std::uint64_t>(random.integer(1, 60));
    const auto bin = static_cast<std::uint64_t>(random.integer(0, 255));
    graph.a.push_back(a);
    graph.b.push_back(b);
    graph.sum.push_back(count * 257 * bin);
    graph.count.push_back(count);
    graph.saddle.push_back(static_cast<std::uint16_t>(257 * bin));
    if (!with_bins) return;
    graph.bins.push_back({bin, count});
    graph.bin_begin.push_back(graph.bins.size());
  };
  for (std::uint32_t row = 0; row < rows; ++row) {
    for (const std::uint32_t step :
         {1U, side, side * side, side + 1, side * side + 1, side * side + side, 2 * side + 3})
      add(row, row + step);
  }
  return graph;
}

RegionGraph read_graph(const std::string& file) {
  RegionGraph graph;
  std::ifstream in(file);
  for (std::uint64_t a = 0, b = 0, sum = 0, count = 0; in >> a >> b >> sum >> count;) {
    graph.a.push_back(static_cast<std::uint32_t>(a));
    graph.b.push_back(static_cast<std::uint32_t>(b));
    graph.sum.push_back(sum);
    graph.count.push_back(count);
    graph.saddle.push_back(0);
    while (graph.name.size() <= b)
      graph.name.push_back(graph.name.size());
  }
  return graph;
}

void report(const std::string& name, std::size_t bundles, std::size_t merges, double seconds) {
  fmt::print("{:20} {:9} bundles {:9} merges {:8.3f} s {:10.0f} bundles/s\n", name, bundles, merges, seconds,
             static_cast<double>(bundles) / seconds);
}

void measure_random(std::uint32_t rows) {
  for (const LinkageRule& rule :
       {LinkageRule{Linkage::mean, 50}, {Linkage::maximum, 50}, {Linkage::quantile, 75}}) {
    const RegionGraph graph = random_graph(rows, rule.linkage == Linkage::quantile);
    const AgglomerationOptions options{rule, weight_threshold(0.5), OrdinalRule::larger};
    double begin_s = seconds_now();
    const std::size_t merges = agglomerate(graph, options).size();
    report(name_of(rule.linkage), graph.bundles(), merges, seconds_now() - begin_s);
    if (rule.linkage != Linkage::mean) continue;
    for (const std::size_t owners : {2, 8}) {
      const OwnerRows parts = OwnerRows::even(rows, owners);
      std::vector<ClusterEdges> shares(owners);
      shares[0] = first_edges(graph, rule);
      begin_s = seconds_now();
      std::size_t found = 0;
      for (const auto& of_owner :
           agglomerate_by_owners(shares, parts, options, kGatherEdges, LocalExchange(owners)))
        found += of_owner.size();
      report(fmt::format("{}, {} owners", name_of(rule.linkage), owners), graph.bundles(), found,
             seconds_now() - begin_s);
    }
  }
}

void measure_file(const std::string& file, double threshold) {
  const RegionGraph graph = read_graph(file);
  const AgglomerationOptions options{{}, weight_threshold(threshold), OrdinalRule::larger};
  const double begin_s = seconds_now();
  std::vector<GreedyMerge> merges = agglomerate(graph, options);
  const double seconds = seconds_now() - begin_s;
  std::sort(merges.begin(), merges.end(),
            [](const GreedyMerge& x, const GreedyMerge& y) { return x.gone < y.gone; });
  for (const GreedyMerge& row : merges)
    fmt::print("{} {} {} {}\n", row.gone, row.into, row.sum, row.count);
  fmt::print("seconds {}\n", seconds);
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  if (argc == 3)
    tessera::measure_file(argv[1], std::stod(argv[2]));
  else
    tessera::measure_random(argc == 2 ? static_cast<std::uint32_t>(std::stoul(argv[1])) : 300000);
}
