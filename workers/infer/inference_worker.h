#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "io/geometry/block_plan.h"
#include "io/geometry/tile_grid.h"
#include "io/hdf5/output_volume.h"
#include "io/volume/dataset_name.h"
#include "workers/blocks/block_exchange.h"
#include "workers/blocks/skip_rule.h"
#include "workers/infer/tile_predictor.h"

namespace tessera {

/// All that a worker must know, the same on every rank.
struct InferenceJob {
  DatasetName raw;
  BlockPlan blocks;
  TileGrid tiles;
  std::filesystem::path output_file;
  OutputLayout layout;
  SkipRule skip = {};
  int unpack_threads = 0;  ///< beside the one that reads; 0: the HDF5 library unpacks
  /// Smaller tiles than these, for when the memory turns out to be too small; nothing when there are none.
  std::function<std::optional<TileGrid>(const TileGrid&)> smaller_tiles = {};
  /// A predictor in float32 that a worker's first tile is compared with; empty where there is nothing to
  /// compare.
  std::function<std::unique_ptr<TilePredictor>()> make_reference = {};
};

/// Predicts the blocks that the exchange hands out until it has no more: one thread reads (and makes every
/// HDF5 call), one predicts, one writes; at most one block waits between two of them; this one talks with the
/// coordinator. A block that cannot be read, predicted or written is reported as failed, and the work goes
/// on. Errors: whatever the exchange throws, after the stages have stopped.
WorkerStatistics run_inference_worker(const InferenceJob& job, const TilePredictor& predictor,
                                      BlockExchange& exchange);

}  // namespace tessera
