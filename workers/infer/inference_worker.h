#pragma once

#include <filesystem>

#include "io/block_plan.h"
#include "io/dataset_name.h"
#include "io/output_volume.h"
#include "io/tile_grid.h"
#include "workers/infer/block_exchange.h"
#include "workers/infer/tile_predictor.h"

namespace tessera {

/// All that a worker must know, the same on every rank.
struct InferenceJob {
  DatasetName raw;
  BlockPlan blocks;
  TileGrid tiles;
  std::filesystem::path output_file;
  OutputLayout layout;
};

/// Predicts the blocks that the exchange hands out until it has no more: one thread reads (and makes every
/// HDF5 call), this one predicts, one writes; at most one block waits between two of them.
/// Errors: whatever a stage throws, after the others have stopped; the message names the block.
WorkerStatistics run_inference_worker(const InferenceJob& job, const TilePredictor& predictor,
                                      BlockExchange& exchange);

/// What of the raw volume a worker reads for these tiles: every voxel that their mirrored inputs show.
Box raw_box_for(const std::vector<Tile>& tiles, const Index3& volume_shape);

}  // namespace tessera
