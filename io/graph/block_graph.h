#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "io/geometry/box.h"

namespace tessera {

/// The voxel edges between the clusters of a block, summed for each pair of clusters. Arrays of one length,
/// ordered by (a, b).
struct BlockBundles {
  std::vector<std::uint32_t> a, b;  ///< numbers of clusters, a < b
  std::vector<std::uint64_t> sum;   ///< of the edges' weights
  std::vector<std::uint32_t> count;
  std::vector<std::uint16_t> saddle;  ///< the largest weight; with smoothing, of the smoothed weights
  std::vector<std::uint64_t> edge;    ///< the smallest id of an edge of that weight

  // The histograms of the weights' upper bytes, with kHistograms only: of each bundle the number of its bins,
  // 1 to 256; then all bins of all bundles, rising within a bundle.
  std::vector<std::uint16_t> bins;
  std::vector<std::uint8_t> bin;
  std::vector<std::uint32_t> bin_count;  ///< edges, above 0
};

/// How many voxels of cluster b of one section are over cluster a of the section before, in one block.
struct BlockOverlaps {
  std::vector<std::uint32_t> a, b;
  std::vector<std::uint32_t> common;
};

/// The voxels of a block's face behind which the volume goes on, row-major over the two other axes.
struct BlockFace {
  std::vector<std::uint32_t> cluster;  ///< kNoCluster outside the mask or the foreground
  std::vector<std::uint16_t> weight;
  std::vector<std::uint8_t> crosses;    ///< 1: both voxels of the edge through the face are of one basin
  std::vector<std::uint16_t> smoothed;  ///< weights; with smoothing only
};

/// The graph of one block of a segmentation: what the other blocks have to know of it. A piece is a connected
/// part of a basin within the block. Clusters are pieces after the merges that the block decides alone.
struct BlockGraph {
  static constexpr std::uint32_t kNoCluster = 0xffffffff;
  /// Flags.
  static constexpr std::uint32_t kSections = 1, kCertainMerges = 2, kComponents = 4, kSmoothed = 8,
                                 kHistograms = 16;

  std::uint32_t flags = 0;
  Box box;                           ///< of the block, in the region
  Index3 shape;                      ///< of the region
  std::vector<std::uint64_t> name;   ///< of the clusters: the smallest linear index in the region, ascending
  std::vector<std::uint64_t> size;   ///< voxels
  std::vector<std::uint64_t> value;  ///< of the clusters' voxels; with kComponents only
  BlockBundles bundles;
  BlockOverlaps overlaps;
  std::vector<std::uint32_t> cluster_of_piece;
  std::uint32_t piece_crc = 0;  ///< CRC-32C of the pieces' names, as uint64
  /// z low, z high, y low, y high, x low, x high; none at the region's border.
  std::array<std::optional<BlockFace>, 6> faces;
};

/// The voxels of a face, one voxel thick, in the coordinates of `box`.
inline Box face_box(const Box& box, int face) {
  Box thin = box;
  const int axis = face / 2;
  if (face % 2 == 0) {
    thin.end[axis] = box.begin[axis] + 1;
  } else {
    thin.begin[axis] = box.end[axis] - 1;
  }
  return thin;
}

/// Whether the region goes on behind a face of a block.
inline bool has_face(const Box& box, const Index3& shape, int face) {
  const int axis = face / 2;
  return face % 2 == 0 ? box.begin[axis] > 0 : box.end[axis] < shape[axis];
}

}  // namespace tessera
