#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/geometry/block_plan.h"
#include "io/geometry/tile_grid.h"
#include "io/volume/output_layout.h"
#include "io/volume/volume.h"
#include "pipeline/config/experiment.h"
#include "workers/infer/tile_choice.h"

namespace tessera {

/// The volumes that an inference reads, as the coordinator found them.
struct InferenceInputs {
  VolumeInfo raw;
  std::optional<VolumeInfo> mask;
};

/// The plan of an inference. It is a pure function of the experiment, the raw volume, the network and the
/// kind of device. It does not depend on the number of ranks.
struct InferencePlan {
  VolumeInfo raw;
  Box region;  ///< the predicted region of the raw volume; the result has its shape
  Index3 output_chunk, tile_input;
  BlockPlan blocks;  ///< of the region, in the raw volume's coordinates
  std::int64_t context = 0;
  TileDemand demand;
  std::int64_t block_bytes = 0;       ///< raw and result of the blocks that a worker holds at once
  std::int64_t activation_bytes = 0;  ///< of one tile
  std::int64_t weight_bytes = 0;
  double redundancy = 1;   ///< input pixels computed per output pixel
  double chunk_reads = 0;  ///< how often a stored chunk of the raw volume is decompressed, on average

  /// The grid of the plan's tile, or of another one.
  TileGrid tiles(const NetworkTraits& network) const { return tiles(network, tile_input); }
  TileGrid tiles(const NetworkTraits& network, const Index3& input) const;
  std::int64_t memory_per_worker() const { return block_bytes + activation_bytes + weight_bytes; }
};

/// Errors: UsageError for a region, tile, block or chunk that does not fit the network, the volume or the
/// memory.
InferencePlan plan_inference(const InferConfig& config, const VolumeInfo& raw, const NetworkTraits& network,
                             const Device& device);

/// A sentence for each sign in the shape of `raw` and the redundancy of its plan that the axes are in another
/// order.
std::vector<std::string> shape_doubts(const VolumeInfo& raw, double redundancy);

/// The plan as text, one fact per line.
std::string plan_text(const InferencePlan& plan, const NetworkTraits& network);

}  // namespace tessera
