#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "io/geometry/block_plan.h"
#include "io/geometry/tile_grid.h"
#include "io/volume/dataset_name.h"
#include "io/volume/output_layout.h"
#include "io/volume/volume.h"
#include "workers/blocks/block_task.h"
#include "workers/blocks/skip_rule.h"
#include "workers/blocks/spare_memory.h"
#include "workers/infer/prediction_statistics.h"
#include "workers/infer/tile_predictor.h"

namespace tessera {

/// Everything a worker needs to predict blocks. The same on every rank.
struct PredictionJob {
  DatasetName raw;
  BlockPlan blocks;
  TileGrid tiles;
  DatasetName output;
  OutputLayout layout;  ///< of the output
  SkipRule skip = {};
  int unpack_threads = 0;  ///< in addition to the reading thread; 0: the reading thread decompresses
  /// The next smaller tiles, used when memory runs out. Nothing when none exist.
  std::function<std::optional<TileGrid>(const TileGrid&)> smaller_tiles = {};
  /// Makes a float32 predictor to compare with a worker's first tile. Empty: no comparison.
  std::function<std::unique_ptr<TilePredictor>()> make_reference = {};
};

/// Predicts blocks: reads the raw voxels that a block's tiles need, runs the network over the tiles, and
/// writes the result's chunks.
class PredictionTask : public BlockTask {
 public:
  /// Both must outlive the task. The computing thread uses as many threads as the constructing thread may
  /// use.
  PredictionTask(const PredictionJob& job, const TilePredictor& predictor);
  ~PredictionTask() override;

  std::unique_ptr<Input> read(std::int64_t block) override;
  std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) override;
  BlockReport write(std::unique_ptr<Input> input) override;
  bool queues() const override { return predictor_.queues(); }
  /// Uses smaller tiles, once. Errors: Error when no smaller tiles exist, naming the settings to lower.
  bool retry_smaller(const OutOfMemory& error) override;
  std::vector<std::byte> details() const override { return details_of(statistics()); }
  /// To be called after the work has ended.
  PredictionStatistics statistics() const;

 private:
  struct Loaded;
  struct Predicted;
  struct Queued;

  void use_own_threads();
  std::unique_ptr<Predicted> finish(const Loaded& loaded, TilePredictor::Queued& prediction);
  void check_precision(const Loaded& loaded, const Predicted& predicted, const Progress& progress);

  const PredictionJob& job_;
  const TilePredictor& predictor_;
  int threads_;  ///< the setting of the computing thread; LibTorch has one per thread
  std::thread::id computing_thread_;
  PredictionStatistics statistics_;  // each field is written by one stage only
  std::unique_ptr<Volume> raw_;
  std::optional<BlockMask> mask_;
  std::unique_ptr<VolumeWriter> writer_;
  SpareMemory spare_raw_, spare_results_;
  bool checked_ = false;  // accessed by the computing thread only
  std::mutex tiles_mutex_;
  TileGrid tiles_;                  // under tiles_mutex_
  bool has_smaller_tiles_ = false;  // accessed by the computing thread only
};

}  // namespace tessera
