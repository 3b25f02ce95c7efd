#pragma once

#include "io/graph/block_graph.h"
#include "workers/segment/block_pieces.h"
#include "workers/segment/block_weights.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// What a block tells the others (step 2, and what of step 3 the block can decide alone). `pieces`: of the
/// same weights. Errors: Error for a block with too many pieces or bundles.
BlockGraph build_block_graph(const BlockWeights& weights, const BlockPieces& pieces,
                             const BlockGraphOptions& options);

}  // namespace tessera
