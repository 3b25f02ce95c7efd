#pragma once

#include <cstdint>
#include <vector>

#include "io/geometry/voxel_type.h"
#include "io/graph/block_graph.h"
#include "workers/segment/block_pieces.h"
#include "workers/segment/owned_graph.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// What is connected: voxels of equal values but 0. With a threshold, 1 where the probability reaches it;
/// else the label. 0 where the mask is 0. `values` and `mask` hold `block`; `origin`: of the region in its
/// volume, for messages. Errors: WholeJobError for a value that is no probability.
std::vector<std::uint64_t> component_values(const VoxelBuffer& values, const VoxelBuffer* mask,
                                            const Box& block, const Index3& origin,
                                            const ComponentOptions& options);

/// The connected components within a block. `values`: of component_values().
BlockPieces find_component_pieces(const std::vector<std::uint64_t>& values, const Box& block,
                                  const Index3& shape, const ComponentOptions& options);

/// What a block tells the others: names, sizes and values of its components, and its faces.
BlockGraph build_component_graph(const std::vector<std::uint64_t>& values, const BlockPieces& pieces,
                                 const Box& block, const Index3& shape);

/// Adds the pairs of components of two blocks that touch, by a face, an edge or a corner, as far as these
/// count as neighbours.
void add_component_joins(const BlockGraph& a, const BlockGraph& b, const ComponentOptions& options,
                         std::vector<NamePair>& joins);

}  // namespace tessera
