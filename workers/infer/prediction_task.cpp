#include "workers/infer/prediction_task.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <utility>

#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/log.h"
#include "io/geometry/mirror.h"
#include "io/stores/open_volume.h"
#include "io/volume/finite_check.h"
#include "workers/device/device.h"
#include "workers/device/torch_threads.h"
#include "workers/infer/precision_check.h"

namespace tessera {
namespace {

/// One call reads a block, and reads each chunk once, so the chunk cache may be small.
constexpr std::size_t kBlockChunkCache = std::size_t{1} << 20;

/// Makes an object that a stage needs before its first block. An error here would occur for every block, so
/// it ends the job. `made`: a pointer or an optional.
template <class Made, class Make>
auto& made_once(Made& made, Make&& make) {
  if (made) return *made;
  try {
    made = make();
  } catch (const std::exception& error) {
    throw WholeJobError(message_of(error));
  }
  return *made;
}

}  // namespace

/// A block that has been read.
struct PredictionTask::Loaded : Input {
  std::int64_t id = 0;
  std::vector<Tile> tiles;
  Index3 volume_shape;  ///< of the raw volume
  Box raw_box;
  VoxelBuffer raw;
};

/// A block of the result.
struct PredictionTask::Predicted : Input {
  std::int64_t id = 0;
  Box box;
  VoxelBuffer voxels;
};

/// A block whose tiles are queued on the predictor.
struct PredictionTask::Queued : Pending {
  PredictionTask* task = nullptr;
  std::unique_ptr<Loaded> loaded;
  std::unique_ptr<TilePredictor::Queued> prediction;  ///< refers to the block that was read
  std::unique_ptr<Predicted> predicted;               ///< set when the prediction is finished

  bool is_done() const override { return predicted != nullptr || prediction->is_done(); }
  std::unique_ptr<Input> finish() override {
    if (!predicted) predicted = task->finish(*loaded, *prediction);
    task->spare_raw_.give(std::move(loaded->raw.bytes));
    return std::move(predicted);
  }
};

PredictionTask::PredictionTask(const PredictionJob& job, const TilePredictor& predictor)
    : job_(job), predictor_(predictor), threads_(at::get_num_threads()), tiles_(job.tiles) {}

PredictionTask::~PredictionTask() = default;

std::unique_ptr<BlockTask::Input> PredictionTask::read(std::int64_t id) {
  Volume& raw = made_once(raw_, [this] {
    return open_volume(job_.raw, {kBlockChunkCache, job_.unpack_threads});
  });
  const Box box = job_.blocks.block(id);
  if (job_.skip.mask) {
    BlockMask& mask = made_once(mask_, [&] { return BlockMask(*job_.skip.mask, raw.info()); });
    if (mask.is_background(box)) return nullptr;
  }
  auto block = std::make_unique<Loaded>();
  block->id = id;
  {
    const std::lock_guard lock(tiles_mutex_);
    block->tiles = tiles_.tiles_of(box);
  }
  block->volume_shape = raw.info().shape;
  block->raw_box = raw_box_for(block->tiles, block->volume_shape);
  block->raw = raw.read(block->raw_box, spare_raw_.take());
  statistics_.chunks_read = raw.chunks_read();
  require_finite(block->raw, block->raw_box, job_.raw);
  const auto& background = job_.skip.background;
  if (background && all_within(block->raw, block->raw_box, box, background->first, background->second))
    return nullptr;
  return block;
}

void PredictionTask::use_own_threads() {
  if (computing_thread_ == std::this_thread::get_id()) return;
  computing_thread_ = std::this_thread::get_id();
  set_torch_threads(threads_);
}

std::unique_ptr<BlockTask::Pending> PredictionTask::compute(std::unique_ptr<Input> input,
                                                            const Progress& progress) {
  use_own_threads();
  auto queued = std::make_unique<Queued>();
  queued->task = this;
  queued->loaded.reset(static_cast<Loaded*>(input.release()));
  const Loaded& block = *queued->loaded;
  queued->prediction = predictor_.queue(block.raw, block.raw_box, block.volume_shape, block.tiles,
                                        job_.blocks.block(block.id), progress, spare_results_.take());
  if (job_.make_reference && !checked_) {  // before another block uses the device
    queued->predicted = finish(*queued->loaded, *queued->prediction);
    check_precision(block, *queued->predicted, progress);
  }
  return queued;
}

std::unique_ptr<PredictionTask::Predicted> PredictionTask::finish(const Loaded& loaded,
                                                                  TilePredictor::Queued& prediction) {
  auto predicted = std::make_unique<Predicted>();
  predicted->id = loaded.id;
  predicted->box = job_.blocks.block(loaded.id);
  predicted->voxels = prediction.finish();
  for (const Tile& tile : loaded.tiles)
    statistics_.input_pixels += tile.input.shape().y * tile.input.shape().x;
  return predicted;
}

bool PredictionTask::retry_smaller(const OutOfMemory& error) {
  const auto smaller = has_smaller_tiles_ || !job_.smaller_tiles ? std::nullopt : job_.smaller_tiles(tiles_);
  if (!smaller) {
    throw Error(
        fmt::format("{}: lower infer.memory_budget_mib, infer.tile or infer.block, or give each rank more "
                    "memory",
                    error.what()));
  }
  spdlog::warn(
      "{}: continuing with tiles of {} x {} pixels instead of {} x {} (lower infer.memory_budget_mib to "
      "start "
      "with these)",
      error.what(), smaller->tile_input().y, smaller->tile_input().x, tiles_.tile_input().y,
      tiles_.tile_input().x);
  ++statistics_.tile_shrinks;
  has_smaller_tiles_ = true;
  const std::lock_guard lock(tiles_mutex_);
  tiles_ = *smaller;
  return true;
}

/// Compares the worker's first tile with float32. An error here does not fail the block.
void PredictionTask::check_precision(const Loaded& block, const Predicted& predicted,
                                     const Progress& progress) {
  checked_ = true;
  const Tile& tile = block.tiles.front();
  const auto predict_tile = [&](const TilePredictor& by) {
    return by.predict(block.raw, block.raw_box, block.volume_shape, {tile}, tile.core,
                      [&](std::int64_t) { progress(0); });
  };
  try {
    // With blending, several tiles contribute to the block's voxels.
    const bool own = predictor_.options().blending == Blending::crop;
    const VoxelBuffer mine =
        own ? cut_mirrored(predicted.voxels, predicted.box, tile.core, block.volume_shape)
            : predict_tile(predictor_);
    // One tile does not justify a search for the fastest algorithms. For a large tile in float32 the search
    // takes minutes.
    const HeuristicAlgorithms heuristic_algorithms(predictor_.options().device);
    const PrecisionCheck check = compare_probabilities(mine, predict_tile(*job_.make_reference()));
    statistics_.check_largest = check.largest;
    statistics_.check_mean = check.mean;
    statistics_.check_share_beyond = check.share_beyond;
    if (check.mean > kPrecisionLimit) {
      spdlog::warn(
          "{} is {:.3f} from float32 in probability, on average over the first tile: set infer.precision: "
          "float32",
          predictor_.engine_text(), check.mean);
    }
  } catch (const std::exception& error) {
    spdlog::warn("the first tile could not be compared with float32: {}", message_of(error));
  }
  progress(0);
}

BlockReport PredictionTask::write(std::unique_ptr<Input> input) {
  auto& block = static_cast<Predicted&>(*input);
  VolumeWriter& writer = made_once(writer_, [this] { return open_volume_writer(job_.output, job_.layout); });
  const std::uint32_t crc = writer.write(block.box.relative_to(job_.blocks.region().begin), block.voxels);
  writer.sync();  // the coordinator may record the block as done only after this
  spare_results_.give(std::move(block.voxels.bytes));
  return {block.id, block.box.voxels(), crc};
}

PredictionStatistics PredictionTask::statistics() const {
  PredictionStatistics all = statistics_;
  predictor_.engine_text().copy(all.engine.data(), all.engine.size() - 1);
  return all;
}

}  // namespace tessera
