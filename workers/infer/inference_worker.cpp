#include "workers/infer/inference_worker.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/log.h"
#include "io/geometry/mirror.h"
#include "io/hdf5/volume_reader.h"
#include "workers/blocks/bounded_queue.h"
#include "workers/blocks/first_failure.h"
#include "workers/blocks/spare_memory.h"
#include "workers/device/device.h"
#include "workers/infer/precision_check.h"

namespace tessera {
namespace {

/// A block is read in one piece, each of its chunks once: nothing to keep.
constexpr std::size_t kBlockChunkCache = std::size_t{1} << 20;

struct LoadedBlock {
  std::int64_t id = 0;
  int generation = 0;  ///< of the tiles
  std::vector<Tile> tiles;
  Index3 volume_shape;  ///< of the raw volume
  Box raw_box;
  VoxelBuffer raw;
};

/// On its way through the device.
struct QueuedBlock {
  LoadedBlock loaded;
  std::unique_ptr<TilePredictor::Queued> prediction;  ///< reads what was loaded
};

struct PredictedBlock {
  std::int64_t id = 0;
  Box box;
  VoxelBuffer voxels;
};

/// The exception being handled, as what the coordinator hears of block `id`.
BlockFailure failure_of_block(std::int64_t id) {
  try {
    throw;
  } catch (const WholeJobError& error) {
    return {id, true, message_of(error)};
  } catch (const UsageError& error) {
    return {id, true, message_of(error)};
  } catch (const std::exception& error) {
    return {id, false, message_of(error)};
  }
}

/// Makes what a stage needs before its first block; what fails here would fail for every block.
template <class T, class Make>
T& made_once(std::optional<T>& made, Make&& make) {
  if (made) return *made;
  try {
    make(made);
  } catch (const std::exception& error) {
    throw WholeJobError(message_of(error));
  }
  return *made;
}

/// The three stages of one worker, a thread each, and the thread that talks with the coordinator: the one
/// that started MPI. It is awake while a long tile is computed, so silence means that the process is gone or
/// stopped.
class WorkerPipeline {
 public:
  WorkerPipeline(const InferenceJob& job, const TilePredictor& predictor, BlockExchange& exchange)
      : job_(job), predictor_(predictor), exchange_(exchange), tiles_(job.tiles) {}

  WorkerStatistics run() {
    begin_s_ = seconds_now();
    const int threads = at::get_num_threads();  // each thread has a number of its own
    std::jthread reader([this] { guarded([this] { read_blocks(); }); });
    std::jthread predictor([this, threads] {
      at::set_num_threads(threads);
      guarded([this] { predict_blocks(); });
    });
    std::jthread writer([this] { guarded([this] { write_blocks(); }); });
    guarded([this] { exchange_blocks(); });
    close_queues();
    reader.join();
    predictor.join();
    writer.join();
    failure_.rethrow();
    statistics_.elapsed_s = seconds_now() - begin_s_;
    predictor_.engine_text().copy(statistics_.engine.data(), statistics_.engine.size() - 1);
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
    results_.close();
  }

  /// A block has ended, well or not.
  void tell(BlockReport report) { results_.push(report); }
  void tell_failure(std::int64_t id) { results_.push(failure_of_block(id)); }
  void note_progress() { last_step_s_ = seconds_now(); }

  void exchange_blocks() {
    constexpr double kWait_s = 1e-3;
    const double pulse_every_s = exchange_.pulse_every_s();
    std::int64_t in_flight = 0;
    double last_pulse_s = seconds_now();
    PoliteWait idle;
    while (!exchange_.finished() || in_flight > 0) {
      failure_.rethrow();
      while (const auto id = exchange_.poll()) {
        if (in_flight++ == 0) note_progress();
        to_read_.push(*id);
        idle.reset();
      }
      if (in_flight == 0) {
        idle.pause();
      } else {
        for (auto result = results_.pop_within(kWait_s); result; result = results_.try_pop()) {
          std::visit([this](const auto& what) { exchange_.report(what); }, *result);
          --in_flight;
        }
        exchange_.flush();
      }
      if (const double now = seconds_now(); now - last_pulse_s >= pulse_every_s) {
        exchange_.pulse({voxels_predicted_.exchange(0), in_flight > 0 ? now - last_step_s_ : 0});
        last_pulse_s = now;
      }
    }
    if (voxels_predicted_ > 0) exchange_.pulse({voxels_predicted_.exchange(0), 0});
  }

  void read_blocks() {
    std::optional<VolumeReader> reader;
    std::optional<BlockMask> mask;
    while (const auto id = to_read_.pop()) {
      try {
        std::optional<LoadedBlock> block;
        {
          const ScopeTimer timer(statistics_.read_s);
          made_once(reader, [this](auto& made) {
            made.emplace(job_.raw, kBlockChunkCache);
            made->unpack_on_threads(job_.unpack_threads);
          });
          if (job_.skip.mask) {
            made_once(mask, [&](auto& made) { made.emplace(*job_.skip.mask, reader->info().shape); });
          }
          block = load(*id, *reader, mask);
          statistics_.chunks_read = reader->chunks_read();
        }
        note_progress();
        if (block)
          loaded_.push(std::move(*block));
        else
          skip(*id);
      } catch (...) {
        tell_failure(*id);
      }
    }
  }

  /// Nothing when the block is background.
  std::optional<LoadedBlock> load(std::int64_t id, VolumeReader& reader, std::optional<BlockMask>& mask) {
    const Box box = job_.blocks.block(id);
    if (mask && mask->is_background(box)) return std::nullopt;
    LoadedBlock block;
    block.id = id;
    {
      const std::lock_guard lock(tiles_mutex_);
      block.generation = generation_;
      block.tiles = tiles_.tiles_of(box);
    }
    block.volume_shape = reader.info().shape;
    block.raw_box = raw_box_for(block.tiles, block.volume_shape);
    block.raw = reader.read(block.raw_box, spare_raw_.take());
    require_finite(block.raw, block.raw_box, job_.raw);
    const auto& background = job_.skip.background;
    if (background && all_within(block.raw, block.raw_box, box, background->first, background->second))
      return std::nullopt;
    return block;
  }

  void skip(std::int64_t id) {
    const std::int64_t voxels = job_.blocks.block(id).voxels();
    statistics_.skipped += 1;
    tell({id, voxels, 0, BlockOutcome::skipped});
  }

  void predict_blocks() {
    // On a GPU one block is queued behind the one that is computed.
    std::unique_ptr<QueuedBlock> ahead;
    for (;;) {
      std::optional<LoadedBlock> block = next_block(ahead.get());
      if (!block && !ahead) return;
      std::unique_ptr<QueuedBlock> next = block ? std::make_unique<QueuedBlock>() : nullptr;
      if (next) {
        next->loaded = std::move(*block);
        if (!settled(next->loaded, [&] { queue_behind(ahead, *next); })) next = nullptr;
      }
      if (ahead) finish(*ahead);
      ahead = std::move(next);
      if (ahead && (one_at_a_time_ || !predictor_.queues() || !compared_with_float32()))
        finish(*std::exchange(ahead, nullptr));
    }
  }

  /// With a block ahead: nothing, when that is computed before the next one has been read.
  std::optional<LoadedBlock> next_block(const QueuedBlock* ahead) {
    if (ahead == nullptr) {
      const ScopeTimer timer(statistics_.wait_s);
      return loaded_.pop();
    }
    constexpr double kLook_s = 5e-4;
    const ScopeTimer timer(statistics_.predict_s);
    std::optional<LoadedBlock> block;
    while (!block && !loaded_.is_closed() && !ahead->prediction->is_done())
      block = loaded_.pop_within(kLook_s);
    return block ? std::move(block) : loaded_.try_pop();
  }

  void queue(QueuedBlock& block) {
    const ScopeTimer timer(statistics_.predict_s);
    const LoadedBlock& what = block.loaded;
    block.prediction = predictor_.queue(
        what.raw, what.raw_box, what.volume_shape, what.tiles, job_.blocks.block(what.id),
        [this](std::int64_t voxels) {
          voxels_predicted_ += voxels;
          note_progress();
        },
        spare_results_.take());
  }

  /// That two blocks do not fit the device's memory is no reason for smaller tiles: then the one ahead is
  /// finished first.
  void queue_behind(std::unique_ptr<QueuedBlock>& ahead, QueuedBlock& block) {
    try {
      return queue(block);
    } catch (const OutOfMemory& error) {
      if (!ahead) throw;
      spdlog::warn("{}: from now on one block at a time is on the device", error.what());
    }
    one_at_a_time_ = true;
    finish(*std::exchange(ahead, nullptr));
    queue(block);
  }

  void finish(QueuedBlock& block) {
    settled(block.loaded, [&] {
      PredictedBlock predicted{block.loaded.id, job_.blocks.block(block.loaded.id), {}};
      {
        const ScopeTimer timer(statistics_.predict_s);
        predicted.voxels = block.prediction->finish();
      }
      note_progress();
      check_precision(block.loaded, predicted);
      for (const Tile& tile : block.loaded.tiles)
        statistics_.input_pixels += tile.input.shape().y * tile.input.shape().x;
      spare_raw_.give(std::move(block.loaded.raw.bytes));
      const ScopeTimer timer(statistics_.wait_s);  // for a slow disk
      to_write_.push(std::move(predicted));
    });
  }

  /// Whether `work` on a block went well; else the coordinator hears of it, or it is tried with smaller
  /// tiles.
  bool settled(const LoadedBlock& block, const std::function<void()>& work) {
    try {
      work();
      return true;
    } catch (const OutOfMemory& error) {
      if (take_smaller_tiles(block.generation, error)) {
        to_read_.push(block.id);
      } else {
        results_.push(BlockFailure{block.id, true, out_of_memory_words(error)});
      }
    } catch (...) {
      tell_failure(block.id);
    }
    return false;
  }

  /// Whether the block is to be tried again with smaller tiles than those of `generation`: once they get
  /// smaller.
  bool take_smaller_tiles(int generation, const OutOfMemory& error) {
    const std::lock_guard lock(tiles_mutex_);
    if (generation < generation_) return true;  // it was read before they did
    if (generation_ > 0 || !job_.smaller_tiles) return false;
    const auto smaller = job_.smaller_tiles(tiles_);
    if (!smaller) return false;
    ++statistics_.tile_shrinks;
    spdlog::warn(
        "{}: going on with tiles of {} x {} pixels instead of {} x {} (lower infer.memory_budget_mib to "
        "start with "
        "such ones)",
        error.what(), smaller->tile_input().y, smaller->tile_input().x, tiles_.tile_input().y,
        tiles_.tile_input().x);
    tiles_ = *smaller;
    ++generation_;
    return true;
  }

  static std::string out_of_memory_words(const OutOfMemory& error) {
    return fmt::format(
        "{}: lower infer.memory_budget_mib, infer.tile or infer.block, or give each rank more memory",
        error.what());
  }

  bool compared_with_float32() const { return !job_.make_reference || checked_; }

  /// Compares the worker's first tile with float32. What goes wrong here is no reason to lose a block.
  void check_precision(const LoadedBlock& block, const PredictedBlock& predicted) {
    if (compared_with_float32()) return;
    checked_ = true;
    const Tile& tile = block.tiles.front();
    const auto predict_tile = [&](const TilePredictor& by) {
      return by.predict(block.raw, block.raw_box, block.volume_shape, {tile}, tile.core,
                        [this](std::int64_t) { note_progress(); });
    };
    try {
      // With blending the block's voxels are those of several tiles.
      const bool own = predictor_.options().blending == Blending::crop;
      const VoxelBuffer mine =
          own ? cut_mirrored(predicted.voxels, predicted.box, tile.core, block.volume_shape)
              : predict_tile(predictor_);
      // One tile is not worth a search for the fastest algorithms, which takes minutes for a large one in
      // float32.
      const AlgorithmsByRule by_rule(predictor_.options().device);
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
    note_progress();
  }

  void write_blocks() {
    std::optional<BlockWriter> writer;
    while (auto block = to_write_.pop()) {
      try {
        const ScopeTimer timer(statistics_.write_s);
        made_once(writer, [this](auto& made) { made.emplace(job_.output_file, job_.layout); });
        const std::uint32_t crc =
            writer->write(block->box.relative_to(job_.blocks.region().begin), block->voxels.bytes);
        writer->sync();  // only then may the coordinator call it done
        statistics_.blocks += 1;
        statistics_.voxels += block->box.voxels();
        if (statistics_.blocks == WorkerStatistics::kStartBlocks) {
          statistics_.start_s = seconds_now() - begin_s_;
          statistics_.start_voxels = statistics_.voxels;
        }
        note_progress();
        tell({block->id, block->box.voxels(), crc});
        spare_results_.give(std::move(block->voxels.bytes));
      } catch (...) {
        tell_failure(block->id);
      }
    }
  }

  const InferenceJob& job_;
  const TilePredictor& predictor_;
  BlockExchange& exchange_;
  WorkerStatistics statistics_;  // each field is written by one stage only
  double begin_s_ = 0;
  SpareMemory spare_raw_, spare_results_;
  bool checked_ = false;        // by the predicting thread
  bool one_at_a_time_ = false;  // likewise
  std::mutex tiles_mutex_;
  TileGrid tiles_;
  int generation_ = 0;
  FirstFailure failure_;
  std::atomic<std::int64_t> voxels_predicted_ = 0;  // since the last pulse
  std::atomic<double> last_step_s_ = 0;
  BoundedQueue<std::int64_t> to_read_{std::numeric_limits<std::size_t>::max()};  // the coordinator bounds it
  BoundedQueue<LoadedBlock> loaded_{1};
  BoundedQueue<PredictedBlock> to_write_{1};
  BoundedQueue<std::variant<BlockReport, BlockFailure>> results_{std::numeric_limits<std::size_t>::max()};
};

}  // namespace

WorkerStatistics run_inference_worker(const InferenceJob& job, const TilePredictor& predictor,
                                      BlockExchange& exchange) {
  const WorkerStatistics statistics = WorkerPipeline(job, predictor, exchange).run();
  exchange.leave(statistics);
  return statistics;
}

}  // namespace tessera
