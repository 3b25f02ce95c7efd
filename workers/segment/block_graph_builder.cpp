#include "workers/segment/block_graph_builder.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "workers/segment/bundle_table.h"
#include "workers/segment/certain_merges.h"
#include "workers/segment/histogram_table.h"

namespace tessera {
namespace {

constexpr std::uint32_t kNone = BlockPieces::kNone;

/// An edge between two pieces.
struct PieceEdge {
  std::uint32_t p, q;  ///< of its lower and its upper voxel
  std::size_t v, u;    ///< their places in the padded arrays
  std::size_t axis;
  std::uint64_t id;

  std::int32_t weight(const BlockWeights& weights) const {
    return weights.has_affinities() ? weights.affinity[axis][u]
                                    : std::min(weights.weight[u], weights.weight[v]);
  }
};

/// Calls `function(edge)` for every PieceEdge of a block.
template <class Function>
void for_each_edge_between(const BlockWeights& weights, const BlockPieces& pieces, int first_axis,
                           const Function& function) {
  const Index3 sides = weights.box.shape();
  const std::array<std::int64_t, 3> own{sides.y * sides.x, sides.x, 1};
  for (std::int64_t z = 0; z < sides.z; ++z) {
    for (std::int64_t y = 0; y < sides.y; ++y) {
      const std::int64_t row = weights.row(z, y);
      const std::uint32_t* piece = pieces.piece.data() + (z * sides.y + y) * sides.x;
      const auto linear =
          static_cast<std::uint64_t>(linear_index(weights.box.begin + Index3{z, y, 0}, weights.shape));
      const std::array<std::int64_t, 3> first_x{z > 0 ? 0 : sides.x, y > 0 ? 0 : sides.x, 1};
      for (std::int64_t x = 0; x < sides.x; ++x) {
        if (piece[x] == kNone) continue;
        for (int axis = first_axis; axis < 3; ++axis) {
          const auto i = static_cast<std::size_t>(axis);
          if (x < first_x[i]) continue;
          const std::uint32_t other = piece[x - own[i]];
          if (other == piece[x] || other == kNone) continue;
          const auto u = static_cast<std::size_t>(row + x),
                     v = u - static_cast<std::size_t>(weights.stride(axis));
          function(
              PieceEdge{other, piece[x], v, u, i,
                        3 * (linear + static_cast<std::uint64_t>(x)) + static_cast<std::uint64_t>(axis)});
        }
      }
    }
  }
}

/// The bundles between the pieces of a block.
std::vector<BlockBundle> bundles_within(const BlockWeights& weights, const BlockPieces& pieces,
                                        int first_axis) {
  BundleTable table;
  const std::vector<std::int32_t>& levels = weights.levels();
  for_each_edge_between(weights, pieces, first_axis, [&](const PieceEdge& edge) {
    const std::int32_t weight = edge.weight(weights);
    const std::int32_t level = weights.has_affinities() ? weight : std::min(levels[edge.u], levels[edge.v]);
    table.add(edge.p, edge.q, static_cast<std::uint64_t>(weight), 1, level, edge.id);
  });
  return table.take();
}

/// Adds the histograms of the bundles between clusters.
void add_histograms(const BlockWeights& weights, const BlockPieces& pieces, int first_axis,
                    BlockGraph& graph) {
  HistogramTable table;
  for_each_edge_between(weights, pieces, first_axis, [&](const PieceEdge& edge) {
    const std::uint32_t a = graph.cluster_of_piece[edge.p], b = graph.cluster_of_piece[edge.q];
    if (a != b) table.add(a, b, edge.weight(weights));
  });
  BlockBundles& bundles = graph.bundles;
  bundles.bins.assign(bundles.a.size(), 0);
  std::size_t at = 0;
  for (const BundleBin& one : table.take()) {
    while ((std::uint64_t{bundles.a[at]} << 32 | bundles.b[at]) != one.pair)
      ++at;
    ++bundles.bins[at];
    bundles.bin.push_back(static_cast<std::uint8_t>(one.bin));
    bundles.bin_count.push_back(one.count);
  }
}

/// The place of a face's voxel in the block's own arrays, and in the padded ones.
template <class Function>
void for_each_face_voxel(const BlockWeights& weights, int face, const Function& function) {
  const Box box = face_box(weights.box, face).relative_to(weights.box.begin);
  const Index3 sides = weights.box.shape();
  std::size_t number = 0;
  for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
    for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
      for (std::int64_t x = box.begin.x; x < box.end.x; ++x, ++number)
        function(number, static_cast<std::size_t>((z * sides.y + y) * sides.x + x),
                 static_cast<std::size_t>(weights.row(z, y) + x));
    }
  }
}

/// A face, with pieces in place of clusters.
BlockFace face_of(const BlockWeights& weights, const BlockPieces& pieces, int face,
                  const BlockGraphOptions& options) {
  BlockFace made;
  const auto voxels = static_cast<std::size_t>(face_box(weights.box, face).voxels());
  made.cluster.resize(voxels);
  made.weight.resize(voxels);
  made.crosses.resize(voxels);
  if (!weights.smoothed.empty()) made.smoothed.resize(voxels);
  const std::vector<std::int32_t>& levels = weights.levels();
  const std::vector<std::uint8_t>& best = pieces.crosses[static_cast<std::size_t>(face)];
  const bool are_neighbours = face / 2 >= options.first_axis();
  const std::int64_t behind = (face % 2 == 0 ? -1 : 1) * weights.stride(face / 2);
  // Of affinities, the edge through a high face is at the voxel behind it.
  const std::vector<std::int32_t>& affinity = weights.affinity[static_cast<std::size_t>(face / 2)];
  const auto to_edge = static_cast<std::size_t>(face % 2 == 0 ? 0 : behind);
  for_each_face_voxel(weights, face, [&](std::size_t i, std::size_t own, std::size_t padded) {
    made.cluster[i] = pieces.piece[own];
    if (pieces.piece[own] == kNone) return;
    made.weight[i] = static_cast<std::uint16_t>(weights.weight[padded]);
    if (!made.smoothed.empty()) made.smoothed[i] = static_cast<std::uint16_t>(weights.smoothed[padded]);
    if (!are_neighbours) return;
    if (weights.has_affinities()) {
      const std::int32_t edge = affinity[padded + to_edge];
      made.weight[i] = static_cast<std::uint16_t>(std::max(edge, 0));  // 0 where the other voxel is outside
      made.crosses[i] = best[i] != 0 || edge >= options.saturated ? 1 : 0;
      return;
    }
    const std::int32_t beyond = levels[static_cast<std::size_t>(static_cast<std::int64_t>(padded) + behind)];
    const bool is_saturated = levels[padded] >= options.saturated && beyond >= options.saturated;
    made.crosses[i] = best[i] != 0 || is_saturated ? 1 : 0;
  });
  return made;
}

/// Numbers the roots, and contracts names, sizes and bundles.
void contract_pieces(const BlockPieces& pieces, const std::vector<std::uint64_t>& sizes,
                     const std::vector<std::uint32_t>& root, std::vector<BlockBundle> bundles,
                     BlockGraph& graph) {
  std::vector<std::uint32_t>& number = graph.cluster_of_piece;
  number.resize(root.size());
  for (std::size_t piece = 0; piece < root.size(); ++piece) {
    if (root[piece] == piece) {
      number[piece] = static_cast<std::uint32_t>(graph.name.size());
      graph.name.push_back(pieces.name[piece]);
      graph.size.push_back(0);
    } else {
      number[piece] = number[root[piece]];
    }
    graph.size[number[piece]] += sizes[piece];
  }
  if (graph.name.size() != root.size()) {
    BundleTable table;
    for (const BlockBundle& one : bundles) {
      const std::uint32_t a = number[one.a()], b = number[one.b()];
      if (a != b) table.add(a, b, one.sum, one.count, one.saddle, one.edge);
    }
    bundles = table.take();
  }
  BlockBundles& to = graph.bundles;
  for (const BlockBundle& one : bundles) {
    to.a.push_back(one.a());
    to.b.push_back(one.b());
    to.sum.push_back(one.sum);
    to.count.push_back(one.count);
    to.saddle.push_back(static_cast<std::uint16_t>(one.saddle));
    to.edge.push_back(one.edge);
  }
}

/// Which clusters of neighbouring sections are over each other.
BlockOverlaps overlaps_within(const Box& box, const BlockPieces& pieces,
                              const std::vector<std::uint32_t>& cluster) {
  BlockOverlaps overlaps;
  const Index3 sides = box.shape();
  const auto section = static_cast<std::size_t>(sides.y * sides.x);
  BundleTable table;
  for (std::size_t i = section; i < pieces.piece.size(); ++i) {
    const std::uint32_t a = pieces.piece[i - section], b = pieces.piece[i];
    // Within a section all names are smaller than in the next one, so a < b.
    if (a != kNone && b != kNone) table.add(cluster[a], cluster[b], 0, 1, 0, 0);
  }
  for (const BlockBundle& one : table.take()) {
    overlaps.a.push_back(one.a());
    overlaps.b.push_back(one.b());
    overlaps.common.push_back(one.count);
  }
  return overlaps;
}

}  // namespace

BlockGraph build_block_graph(const BlockWeights& weights, const BlockPieces& pieces,
                             const BlockGraphOptions& options) {
  BlockGraph graph;
  graph.flags = (options.mode == SegmentMode::sections ? BlockGraph::kSections : 0) |
                (options.certain_merges ? BlockGraph::kCertainMerges : 0) |
                (options.smoothing > 0 ? BlockGraph::kSmoothed : 0) |
                (options.histograms ? BlockGraph::kHistograms : 0);
  graph.box = weights.box;
  graph.shape = weights.shape;
  graph.piece_crc = pieces.crc();
  std::vector<std::uint64_t> sizes(pieces.name.size());
  for (const std::uint32_t piece : pieces.piece) {
    if (piece != kNone) ++sizes[piece];
  }
  std::vector<bool> open(sizes.size());
  for (int face = 0; face < 6; ++face) {
    if (!has_face(weights.box, weights.shape, face)) continue;
    BlockFace made = face_of(weights, pieces, face, options);
    if (face / 2 >= options.first_axis()) {
      for (const std::uint32_t piece : made.cluster) {
        if (piece != kNone) open[piece] = true;
      }
    }
    graph.faces[static_cast<std::size_t>(face)] = std::move(made);
  }
  std::vector<BlockBundle> bundles = bundles_within(weights, pieces, options.first_axis());
  std::vector<std::uint32_t> root(sizes.size());
  std::iota(root.begin(), root.end(), 0u);
  if (options.certain_merges) root = certain_merges(sizes, open, bundles, options);
  contract_pieces(pieces, sizes, root, std::move(bundles), graph);
  if (options.histograms) add_histograms(weights, pieces, options.first_axis(), graph);
  for (auto& face : graph.faces) {
    if (!face) continue;
    for (std::uint32_t& one : face->cluster) {
      if (one != kNone) one = graph.cluster_of_piece[one];
    }
  }
  if (options.mode == SegmentMode::sections)
    graph.overlaps = overlaps_within(weights.box, pieces, graph.cluster_of_piece);
  return graph;
}

}  // namespace tessera
