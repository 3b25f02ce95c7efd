#include "workers/blocks/block_worker.h"

#include <atomic>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/log.h"
#include "io/base/thread_group.h"
#include "workers/blocks/bounded_queue.h"
#include "workers/blocks/first_failure.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

/// A block between two stages.
struct StagedBlock {
  std::int64_t id = 0;
  int generation = 0;  ///< how often the task had switched to smaller parts when reading began
  std::unique_ptr<BlockTask::Input> input;
};

struct PendingBlock {
  std::int64_t id = 0;
  int generation = 0;
  std::unique_ptr<BlockTask::Pending> pending;
};

/// Converts the exception being handled into the failure report of block `id`.
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

/// The three stages of one worker, one thread each, and the thread that communicates with the coordinator.
/// The latter responds even while a long block is computed. So silence means that the process has ended or is
/// stopped.
class BlockWorker {
 public:
  BlockWorker(BlockTask& task, BlockExchange& exchange) : task_(task), exchange_(exchange) {}

  WorkerStatistics run() {
    begin_s_ = seconds_now();
    ThreadGroup stages([this] { close_queues(); });
    stages.start("to read blocks", [this] { guarded([this] { read_blocks(); }); });
    stages.start("to compute blocks", [this] { guarded([this] { compute_blocks(); }); });
    stages.start("to write blocks", [this] { guarded([this] { write_blocks(); }); });
    guarded([this] { exchange_blocks(); });
    stages.join();
    failure_.rethrow();
    statistics_.elapsed_s = seconds_now() - begin_s_;
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
    to_compute_.close();
    to_write_.close();
    results_.close();
  }

  void report_failure(std::int64_t id) { results_.push(failure_of_block(id)); }
  void note_progress() { last_step_s_ = seconds_now(); }

  void exchange_blocks() {
    constexpr double kWait_s = 1e-3;
    const double pulse_every_s = exchange_.pulse_every_s();
    std::int64_t in_flight = 0;
    double last_pulse_s = seconds_now();
    const MpiWait waiting("receive blocks from rank 0");
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
        exchange_.pulse({voxels_computed_.exchange(0), in_flight > 0 ? now - last_step_s_ : 0});
        last_pulse_s = now;
      }
    }
    if (voxels_computed_ > 0) exchange_.pulse({voxels_computed_.exchange(0), 0});
  }

  void read_blocks() {
    while (const auto id = to_read_.pop()) {
      try {
        StagedBlock block{*id, generation_, nullptr};
        {
          const ScopeTimer timer(statistics_.read_s);
          block.input = task_.read(*id);
        }
        note_progress();
        if (block.input) {
          to_compute_.push(std::move(block));
        } else {
          statistics_.skipped += 1;
          results_.push(BlockReport{*id, 0, 0, BlockOutcome::skipped});
        }
      } catch (...) {
        report_failure(*id);
      }
    }
  }

  void compute_blocks() {
    // On a GPU one block is queued behind the block being computed.
    std::unique_ptr<PendingBlock> ahead;
    for (;;) {
      std::optional<StagedBlock> block = next_block(ahead.get());
      if (!block && !ahead) return;
      std::unique_ptr<PendingBlock> next = block ? start_behind(ahead, *block) : nullptr;
      if (ahead) finish(*ahead);
      ahead = std::move(next);
      if (ahead && (one_at_a_time_ || !task_.queues())) finish(*std::exchange(ahead, nullptr));
    }
  }

  /// Waits for the next block. Returns nothing if `ahead` is computed before the next block has been read.
  std::optional<StagedBlock> next_block(const PendingBlock* ahead) {
    if (ahead == nullptr) {
      const ScopeTimer timer(statistics_.wait_s);
      return to_compute_.pop();
    }
    constexpr double kLook_s = 5e-4;
    const ScopeTimer timer(statistics_.compute_s);
    std::optional<StagedBlock> block;
    while (!block && !to_compute_.is_closed() && !ahead->pending->is_done())
      block = to_compute_.pop_within(kLook_s);
    return block ? std::move(block) : to_compute_.try_pop();
  }

  /// Returns null when the block failed or must be read again. If two blocks do not fit the device's memory,
  /// the task keeps its parts: the block ahead is finished, and this one is read again.
  std::unique_ptr<PendingBlock> start_behind(std::unique_ptr<PendingBlock>& ahead, StagedBlock& block) {
    auto next = std::make_unique<PendingBlock>();
    next->id = block.id;
    next->generation = block.generation;
    const bool started = settled(block.id, block.generation, ahead != nullptr, [&] {
      const ScopeTimer timer(statistics_.compute_s);
      next->pending = task_.compute(std::move(block.input), [this](std::int64_t voxels) {
        voxels_computed_ += voxels;
        note_progress();
      });
    });
    return started ? std::move(next) : nullptr;
  }

  void finish(PendingBlock& block) {
    settled(block.id, block.generation, false, [&] {
      StagedBlock computed{block.id, block.generation, nullptr};
      {
        const ScopeTimer timer(statistics_.compute_s);
        computed.input = block.pending->finish();
      }
      note_progress();
      const ScopeTimer timer(statistics_.wait_s);  // waits for a slow disk
      to_write_.push(std::move(computed));
    });
  }

  /// Runs `work` on a block. Returns false when it failed; then the block is read again, or the failure is
  /// reported.
  bool settled(std::int64_t id, int generation, bool has_one_ahead, const std::function<void()>& work) {
    try {
      work();
      return true;
    } catch (const OutOfMemory& error) {
      try {
        if (has_one_ahead || takes_smaller_parts(generation, error)) {
          if (has_one_ahead) {
            spdlog::warn("{}: the device holds one block at a time from now on", error.what());
            one_at_a_time_ = true;
          }
          to_read_.push(id);
        } else {
          results_.push(BlockFailure{id, true, message_of(error)});
        }
      } catch (const Error& reason) {  // the task's own advice; message_of would add another
        results_.push(BlockFailure{id, true, reason.what()});
      } catch (const std::exception& reason) {
        results_.push(BlockFailure{id, true, message_of(reason)});
      }
    } catch (...) {
      report_failure(id);
    }
    return false;
  }

  /// Whether to retry a block whose reading began in `generation`.
  bool takes_smaller_parts(int generation, const OutOfMemory& error) {
    if (generation < generation_) return true;  // it was read in larger parts
    if (!task_.retry_smaller(error)) return false;
    ++generation_;
    return true;
  }

  void write_blocks() {
    while (auto block = to_write_.pop()) {
      try {
        BlockReport report;
        {
          const ScopeTimer timer(statistics_.write_s);
          report = task_.write(std::move(block->input));
        }
        statistics_.blocks += 1;
        statistics_.voxels += report.voxels;
        if (statistics_.blocks == WorkerStatistics::kStartBlocks) {
          statistics_.start_s = seconds_now() - begin_s_;
          statistics_.start_voxels = statistics_.voxels;
        }
        note_progress();
        results_.push(std::move(report));
      } catch (...) {
        report_failure(block->id);
      }
    }
  }

  BlockTask& task_;
  BlockExchange& exchange_;
  WorkerStatistics statistics_;  // each field is written by one stage only
  double begin_s_ = 0;
  bool one_at_a_time_ = false;  // accessed by the computing thread only
  std::atomic<int> generation_ = 0;
  FirstFailure failure_;
  std::atomic<std::int64_t> voxels_computed_ = 0;  // since the last heartbeat
  std::atomic<double> last_step_s_ = 0;
  BoundedQueue<std::int64_t> to_read_{
      std::numeric_limits<std::size_t>::max()};  // the coordinator limits its length
  BoundedQueue<StagedBlock> to_compute_{1};
  BoundedQueue<StagedBlock> to_write_{1};
  BoundedQueue<std::variant<BlockReport, BlockFailure>> results_{std::numeric_limits<std::size_t>::max()};
};

}  // namespace

WorkerStatistics run_block_worker(BlockTask& task, BlockExchange& exchange) {
  const WorkerStatistics statistics = BlockWorker(task, exchange).run();
  exchange.leave(statistics, task.details());
  return statistics;
}

}  // namespace tessera
