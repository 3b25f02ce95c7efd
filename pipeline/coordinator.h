#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "workers/infer/block_exchange.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What the coordinator's owner wants to hear.
struct CoordinatorHooks {
  /// A block's voxels are on the disk: the place where the journal of restarts gets its record.
  std::function<void(const BlockReport&)> block_done;
  /// So many more voxels were predicted.
  std::function<void(std::int64_t)> progress;
  /// Called many times a second; returning true hands out no further block, and the run ends when those in
  /// flight are done.
  std::function<bool()> should_stop;
};

/// Hands out blocks, largest first, and hears of their end.
class Coordinator {
 public:
  Coordinator(const std::vector<std::int64_t>& order, CoordinatorHooks hooks);

  /// The next block, if any is left.
  std::optional<std::int64_t> next();
  std::int64_t left() const { return static_cast<std::int64_t>(waiting_.size()); }
  void block_done(const BlockReport& report);
  void progress(std::int64_t voxels);
  /// Asks whether to stop; forgets the waiting blocks if so.
  void look_around();
  void worker_left(const WorkerStatistics& statistics) { statistics_.push_back(statistics); }

  bool stopped() const { return stopped_; }
  std::int64_t blocks_done() const { return blocks_done_; }
  const std::vector<WorkerStatistics>& statistics() const { return statistics_; }

 private:
  std::deque<std::int64_t> waiting_;
  CoordinatorHooks hooks_;
  std::int64_t blocks_done_ = 0;
  bool stopped_ = false;
  std::vector<WorkerStatistics> statistics_;
};

/// Serves the workers, ranks 1 to size - 1 of `world`, until each has left. Two blocks are in flight per
/// worker, so that reading overlaps computing, but none waits at one worker while another goes idle.
/// Called by rank 0; the workers run `run_inference_worker` with an `MpiBlockExchange`.
void serve_workers(const Communicator& world, Coordinator& coordinator);

/// The exchange within one process, which is coordinator and worker in turn.
class LocalBlockExchange : public BlockExchange {
 public:
  explicit LocalBlockExchange(Coordinator& coordinator) : coordinator_(coordinator) {}
  std::optional<std::int64_t> poll() override;
  bool finished() const override { return in_flight_ == 0 && coordinator_.left() == 0; }
  void report(const BlockReport& report) override;
  void progress(std::int64_t voxels) override;
  void leave(const WorkerStatistics& statistics) override { coordinator_.worker_left(statistics); }

 private:
  Coordinator& coordinator_;
  std::int64_t in_flight_ = 0;
};

}  // namespace tessera
