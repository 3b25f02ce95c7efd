#include "workers/segment/block_components.h"

#include <algorithm>
#include <cstdlib>

#include "workers/segment/block_weights.h"
#include "workers/segment/bundle_table.h"
#include "workers/segment/disjoint_sets.h"
#include "workers/segment/filled_holes.h"

namespace tessera {
namespace {

/// The steps to the neighbours of a voxel. The second half are the first half, backwards.
std::vector<Index3> neighbour_steps(const ComponentOptions& options) {
  const int neighbours = options.neighbours;
  const std::int64_t most = neighbours == 4 || neighbours == 6    ? 1
                            : neighbours == 8 || neighbours == 18 ? 2
                                                                  : 3;
  const std::int64_t depth = options.within_sections() ? 0 : 1;
  std::vector<Index3> steps;
  for (std::int64_t z = -depth; z <= depth; ++z) {
    for (std::int64_t y = -1; y <= 1; ++y) {
      for (std::int64_t x = -1; x <= 1; ++x) {
        const std::int64_t axes = std::abs(z) + std::abs(y) + std::abs(x);
        if (axes >= 1 && axes <= most) steps.push_back({z, y, x});
      }
    }
  }
  return steps;
}

/// The cluster of a voxel on a face of a block.
std::uint32_t cluster_on_face(const BlockGraph& graph, const Index3& voxel) {
  for (int face = 0; face < 6; ++face) {
    const auto& one = graph.faces[static_cast<std::size_t>(face)];
    const Box box = face_box(graph.box, face);
    if (!one || !box.contains({voxel, voxel + Index3{1, 1, 1}})) continue;
    return one->cluster[static_cast<std::size_t>(linear_index(voxel - box.begin, box.shape()))];
  }
  return BlockGraph::kNoCluster;
}

}  // namespace

std::vector<std::uint64_t> component_values(const VoxelBuffer& values, const VoxelBuffer* mask,
                                            const Box& block, const Index3& origin,
                                            const ComponentOptions& options) {
  std::vector<std::uint64_t> made(static_cast<std::size_t>(block.voxels()));
  if (options.threshold) {
    BlockGraphOptions alone;
    alone.mode = SegmentMode::sections;
    const BlockWeights weights =
        block_weights(values, mask, Box{{}, block.shape()}, block.shape(), origin + block.begin, alone);
    std::size_t at = 0;
    for (std::int64_t z = 0; z < block.shape().z; ++z) {
      for (std::int64_t y = 0; y < block.shape().y; ++y) {
        const std::int32_t* row = weights.weight.data() + weights.row(z, y);
        for (std::int64_t x = 0; x < block.shape().x; ++x, ++at)
          made[at] = row[x] >= std::max(*options.threshold, 0) ? 1 : 0;
      }
    }
    if (options.fill_holes) fill_holes(made, mask, block.shape(), options);
    return made;
  }
  with_voxel_type(values.type, [&](auto zero) {
    const auto labels = values.as<decltype(zero)>();
    std::transform(labels.begin(), labels.end(), made.begin(),
                   [](auto label) { return static_cast<std::uint64_t>(label); });
  });
  if (mask == nullptr) return made;
  with_voxel_type(mask->type, [&](auto zero) {
    const auto inside = mask->as<decltype(zero)>();
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (inside[i] == decltype(zero){}) made[i] = 0;
    }
  });
  return made;
}

BlockPieces find_component_pieces(const std::vector<std::uint64_t>& values, const Box& block,
                                  const Index3& shape, const ComponentOptions& options) {
  BlockPieces pieces;
  const Index3 sides = block.shape();
  pieces.piece.resize(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    pieces.piece[i] = values[i] == 0 ? BlockPieces::kNone : static_cast<std::uint32_t>(i);
  DisjointSets<std::uint32_t> sets(pieces.piece);
  std::vector<Index3> lower = neighbour_steps(options);
  lower.resize(lower.size() / 2);  // the other half are the same pairs
  std::uint32_t at = 0;
  for (std::int64_t z = 0; z < sides.z; ++z) {
    for (std::int64_t y = 0; y < sides.y; ++y) {
      for (std::int64_t x = 0; x < sides.x; ++x, ++at) {
        if (values[at] == 0) continue;
        for (const Index3& step : lower) {
          const Index3 other = Index3{z, y, x} + step;
          if (other.z < 0 || other.y < 0 || other.x < 0 || other.y >= sides.y || other.x >= sides.x) continue;
          const auto there = static_cast<std::uint32_t>(linear_index(other, sides));
          if (values[there] == values[at]) sets.unite(at, there);
        }
      }
    }
  }
  number_pieces(block, shape, pieces);
  return pieces;
}

BlockGraph build_component_graph(const std::vector<std::uint64_t>& values, const BlockPieces& pieces,
                                 const Box& block, const Index3& shape) {
  BlockGraph graph;
  graph.flags = BlockGraph::kComponents;
  graph.box = block;
  graph.shape = shape;
  graph.piece_crc = pieces.crc();
  graph.name = pieces.name;
  graph.size.resize(pieces.name.size());
  graph.value.resize(pieces.name.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (pieces.piece[i] == BlockPieces::kNone) continue;
    ++graph.size[pieces.piece[i]];
    graph.value[pieces.piece[i]] = values[i];
  }
  for (std::size_t i = 0; i < pieces.name.size(); ++i)
    graph.cluster_of_piece.push_back(static_cast<std::uint32_t>(i));
  for (int face = 0; face < 6; ++face) {
    if (!has_face(block, shape, face)) continue;
    BlockFace& made = graph.faces[static_cast<std::size_t>(face)].emplace();
    const Box box = face_box(block, face);
    for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
      for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
        for (std::int64_t x = box.begin.x; x < box.end.x; ++x) {
          const auto at =
              static_cast<std::size_t>(linear_index(Index3{z, y, x} - block.begin, block.shape()));
          made.cluster.push_back(pieces.piece[at]);
        }
      }
    }
    made.weight.resize(made.cluster.size());
    made.crosses.resize(made.cluster.size());
  }
  return graph;
}

void add_component_joins(const BlockGraph& a, const BlockGraph& b, const ComponentOptions& options,
                         std::vector<NamePair>& joins) {
  const Box near = intersection(a.box, b.box.grown({1, 1, 1}));
  const std::vector<Index3> steps = neighbour_steps(options);
  const auto count = static_cast<std::uint32_t>(a.name.size());
  BundleTable pairs;
  for (std::int64_t z = near.begin.z; z < near.end.z; ++z) {
    for (std::int64_t y = near.begin.y; y < near.end.y; ++y) {
      for (std::int64_t x = near.begin.x; x < near.end.x; ++x) {
        const std::uint32_t one = cluster_on_face(a, {z, y, x});
        if (one == BlockGraph::kNoCluster) continue;
        for (const Index3& step : steps) {
          const Index3 other = Index3{z, y, x} + step;
          if (!b.box.contains({other, other + Index3{1, 1, 1}})) continue;
          const std::uint32_t there = cluster_on_face(b, other);
          if (there != BlockGraph::kNoCluster && a.value[one] == b.value[there])
            pairs.add(one, count + there, 0, 1, 0, 0);
        }
      }
    }
  }
  for (const BlockBundle& pair : pairs.take())
    joins.push_back({a.name[pair.a()], b.name[pair.b() - count]});
}

}  // namespace tessera
