#include "workers/segment/face_join.h"

#include <algorithm>
#include <utility>

#include "workers/segment/block_weights.h"
#include "workers/segment/bundle_table.h"
#include "workers/segment/histogram_table.h"

namespace tessera {
namespace {

/// Numbers the clusters of both faces, so that their pairs can be summed in a table.
struct FacePair {
  const NamedFace& below;
  const NamedFace& above;

  std::uint32_t number_above(std::uint32_t cluster) const {
    return static_cast<std::uint32_t>(below.names.size()) + cluster;
  }
  std::uint64_t name(std::uint32_t number) const {
    return number < below.names.size() ? below.names[number] : above.names[number - below.names.size()];
  }
  bool both(std::size_t i) const {
    return below.face.cluster[i] != BlockGraph::kNoCluster && above.face.cluster[i] != BlockGraph::kNoCluster;
  }
};

void add_overlaps(const FacePair& pair, GraphRows& rows) {
  BundleTable table;
  for (std::size_t i = 0; i < pair.below.face.cluster.size(); ++i) {
    if (pair.both(i))
      table.add(pair.below.face.cluster[i], pair.number_above(pair.above.face.cluster[i]), 0, 1, 0, 0);
  }
  for (const BlockBundle& one : table.take())
    rows.overlaps.push_back({pair.name(one.a()), pair.name(one.b()), one.count});
}

}  // namespace

void add_block_rows(const BlockGraph& graph, GraphRows& rows) {
  for (std::size_t i = 0; i < graph.name.size(); ++i)
    rows.clusters.push_back({graph.name[i], graph.size[i]});
  const BlockBundles& bundles = graph.bundles;
  for (std::size_t i = 0; i < bundles.a.size(); ++i)
    rows.bundles.push_back({graph.name[bundles.a[i]], graph.name[bundles.b[i]], bundles.sum[i],
                            bundles.count[i], bundles.edge[i], bundles.saddle[i]});
  for (std::size_t i = 0, bin = 0; i < bundles.bins.size(); ++i) {
    for (const std::size_t end = bin + bundles.bins[i]; bin < end; ++bin)
      rows.bins.push_back(
          {graph.name[bundles.a[i]], graph.name[bundles.b[i]], {bundles.bin[bin], bundles.bin_count[bin]}});
  }
  const BlockOverlaps& overlaps = graph.overlaps;
  for (std::size_t i = 0; i < overlaps.a.size(); ++i)
    rows.overlaps.push_back({graph.name[overlaps.a[i]], graph.name[overlaps.b[i]], overlaps.common[i]});
}

void add_face_rows(const NamedFace& below, const NamedFace& above, const Box& box, int axis,
                   const Index3& shape, const BlockGraphOptions& options, GraphRows& rows) {
  const FacePair pair{below, above};
  if (axis < options.first_axis()) {
    add_overlaps(pair, rows);
    return;
  }
  BundleTable bundles, joins;
  HistogramTable histograms;
  const Box face = face_box(box, 2 * axis);
  const bool smoothed = !below.face.smoothed.empty();
  std::size_t i = 0;
  for (std::int64_t z = face.begin.z; z < face.end.z; ++z) {
    for (std::int64_t y = face.begin.y; y < face.end.y; ++y) {
      const std::int64_t row = linear_index({z, y, 0}, shape);
      for (std::int64_t x = face.begin.x; x < face.end.x; ++x, ++i) {
        if (!pair.both(i)) continue;
        const std::uint32_t a = below.face.cluster[i], b = pair.number_above(above.face.cluster[i]);
        const std::uint16_t weight = std::min(below.face.weight[i], above.face.weight[i]);
        const std::uint16_t level =
            smoothed ? std::min(below.face.smoothed[i], above.face.smoothed[i]) : weight;
        bundles.add(a, b, weight, 1, level, static_cast<std::uint64_t>(3 * (row + x) + axis));
        if (options.histograms) histograms.add(a, b, weight);
        if (below.face.crosses[i] != 0 || above.face.crosses[i] != 0) joins.add(a, b, 0, 1, 0, 0);
      }
    }
  }
  for (const BlockBundle& one : bundles.take())
    rows.bundles.push_back(
        {pair.name(one.a()), pair.name(one.b()), one.sum, one.count, one.edge, one.saddle});
  for (const BundleBin& one : histograms.take()) {
    rows.bins.push_back({pair.name(static_cast<std::uint32_t>(one.pair >> 32)),
                         pair.name(static_cast<std::uint32_t>(one.pair)),
                         {one.bin, one.count}});
  }
  for (const BlockBundle& one : joins.take())
    rows.joins.push_back({pair.name(one.a()), pair.name(one.b())});
}

}  // namespace tessera
