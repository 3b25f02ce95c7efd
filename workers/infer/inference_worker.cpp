#include "workers/infer/inference_worker.h"

#include <fmt/format.h>

#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "io/clock.h"
#include "io/error.h"
#include "io/error_words.h"
#include "io/mirror.h"
#include "io/volume_reader.h"
#include "workers/infer/bounded_queue.h"

namespace tessera {
namespace {

/// A block is read in one piece, each of its chunks once: nothing to keep.
constexpr std::size_t kBlockChunkCache = std::size_t{1} << 20;

struct LoadedBlock {
  std::int64_t id = 0;
  std::vector<Tile> tiles;
  Box raw_box;
  VoxelBuffer raw;
};

struct PredictedBlock {
  std::int64_t id = 0;
  Box box;
  VoxelBuffer voxels;
};

/// The first exception of any stage, kept for the thread that runs the worker.
class Failure {
 public:
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    failed_ = true;
  }
  void rethrow() const {
    if (!failed_) return;
    const std::lock_guard lock(mutex_);
    std::rethrow_exception(error_);
  }

 private:
  mutable std::mutex mutex_;
  std::exception_ptr error_;
  std::atomic<bool> failed_ = false;
};

/// Adds what block was worked on to an error's words.
[[noreturn]] void rethrow_for_block(std::int64_t id, const Box& box) {
  const auto words = [&](const std::exception& error) {
    return fmt::format("block {} ({}): {}", id, to_string(box), words_of(error));
  };
  try {
    throw;
  } catch (const std::exception& error) {
    throw Error(words(error));
  }
}

/// The three stages of one worker.
class WorkerPipeline {
 public:
  WorkerPipeline(const InferenceJob& job, const TilePredictor& predictor, BlockExchange& exchange)
      : job_(job), predictor_(predictor), exchange_(exchange) {}

  WorkerStatistics run() {
    const double begin = seconds_now();
    std::jthread reader([this] { guarded([this] { read_blocks(); }); });
    std::jthread writer([this] { guarded([this] { write_blocks(); }); });
    guarded([this] { predict_blocks(); });
    close_queues();
    reader.join();
    writer.join();
    failure_.rethrow();
    statistics_.elapsed_s = seconds_now() - begin;
    return statistics_;
  }

 private:
  void guarded(const std::function<void()>& stage) {
    try {
      stage();
    } catch (...) {
      failure_.keep(std::current_exception());
      close_queues();
    }
  }

  void close_queues() {
    to_read_.close();
    loaded_.close();
    to_write_.close();
  }

  void read_blocks() {
    VolumeReader reader(job_.raw, kBlockChunkCache);
    while (const auto id = to_read_.pop()) {
      LoadedBlock block{*id, job_.tiles.tiles_of(job_.blocks.block(*id)), {}, {}};
      try {
        const ScopeTimer timer(statistics_.read_s);
        block.raw_box = raw_box_for(block.tiles, reader.info().shape);
        block.raw = reader.read(block.raw_box);
        require_finite(block.raw, block.raw_box, job_.raw);
      } catch (...) {
        rethrow_for_block(*id, job_.blocks.block(*id));
      }
      statistics_.chunks_read = reader.chunks_read();
      loaded_.push(std::move(block));
    }
  }

  void predict_blocks() {
    std::int64_t in_flight = 0;
    PoliteWait idle;
    double idle_since = seconds_now();
    for (;;) {
      while (const auto id = exchange_.poll()) {
        to_read_.push(*id);
        ++in_flight;
      }
      while (const auto report = written_.try_pop()) {
        exchange_.report(*report);
        --in_flight;
      }
      failure_.rethrow();
      if (auto block = loaded_.try_pop()) {
        statistics_.wait_s += seconds_now() - idle_since;
        predict(std::move(*block));
        idle.reset();
        idle_since = seconds_now();
      } else if (exchange_.finished() && in_flight == 0) {
        break;
      } else {
        idle.pause();
      }
    }
    statistics_.wait_s += seconds_now() - idle_since;
  }

  void predict(LoadedBlock block) {
    const Box box = job_.blocks.block(block.id);
    PredictedBlock predicted{block.id, box, {}};
    try {
      const ScopeTimer timer(statistics_.predict_s);
      predicted.voxels = predictor_.predict(block.raw, block.raw_box, job_.layout.shape, block.tiles, box,
                                            [this](std::int64_t voxels) { exchange_.progress(voxels); });
    } catch (...) {
      rethrow_for_block(block.id, box);
    }
    for (const Tile& tile : block.tiles) statistics_.input_pixels += tile.input.shape().y * tile.input.shape().x;
    statistics_.blocks += 1;
    statistics_.voxels += box.voxels();
    const ScopeTimer timer(statistics_.wait_s);  // for a slow disk
    to_write_.push(std::move(predicted));
  }

  void write_blocks() {
    BlockWriter writer(job_.output_file, job_.layout);
    while (const auto block = to_write_.pop()) {
      const ScopeTimer timer(statistics_.write_s);
      try {
        const std::uint32_t crc = writer.write(block->box, block->voxels.bytes);
        writer.sync();  // only then may the coordinator call it done
        written_.push({block->id, block->box.voxels(), crc});
      } catch (...) {
        rethrow_for_block(block->id, block->box);
      }
    }
  }

  const InferenceJob& job_;
  const TilePredictor& predictor_;
  BlockExchange& exchange_;
  WorkerStatistics statistics_;  // each field is written by one stage only
  Failure failure_;
  BoundedQueue<std::int64_t> to_read_{64};
  BoundedQueue<LoadedBlock> loaded_{1};
  BoundedQueue<PredictedBlock> to_write_{1};
  BoundedQueue<BlockReport> written_{1024};
};

}  // namespace

Box raw_box_for(const std::vector<Tile>& tiles, const Index3& volume_shape) {
  Box all = tiles.front().input;
  for (const Tile& tile : tiles) {
    for (int axis = 0; axis < 3; ++axis) {
      all.begin[axis] = std::min(all.begin[axis], tile.input.begin[axis]);
      all.end[axis] = std::max(all.end[axis], tile.input.end[axis]);
    }
  }
  return mirrored_source(all, volume_shape);
}

WorkerStatistics run_inference_worker(const InferenceJob& job, const TilePredictor& predictor,
                                      BlockExchange& exchange) {
  const WorkerStatistics statistics = WorkerPipeline(job, predictor, exchange).run();
  exchange.leave(statistics);
  return statistics;
}

}  // namespace tessera
