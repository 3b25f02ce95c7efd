#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/segment/bundle_table.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// The merges of step 3 that a block can decide alone: those that the whole volume does, too. Bundles are
/// visited as in Kruskal's algorithm. A piece is unsettled while it may have a better edge that is not
/// decided: from the start if it is `open` (it touches a face), else from its first bundle that has to wait.
/// A small settled cluster merges with a settled or a large one; any other bundle with a small cluster waits.
/// `sizes` and `open`: of each piece. Returns the root of each piece, which is the smallest of its cluster.
std::vector<std::uint32_t> certain_merges(std::span<const std::uint64_t> sizes, const std::vector<bool>& open,
                                          std::span<const BlockBundle> bundles,
                                          const BlockGraphOptions& options);

}  // namespace tessera
