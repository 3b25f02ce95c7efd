#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace tessera {

/// Options of the block scheduling.
struct BlockQueueOptions {
  double batch_s = 0.02;    ///< seconds of work in one message, for small blocks
  int largest_batch = 256;  ///< blocks in one message: below the size of MPI's rendezvous protocol
};

/// The coordinator's scheduling policy: which worker gets which block, and when. It uses neither messages nor
/// clocks, so a simulation can replay it.
///
/// Every worker owns a contiguous range of the order, so that it gets neighbouring blocks, which share chunks
/// of the raw volume. A worker whose range is empty steals half of the longest range. A worker holds up to
/// two batches and reads the second while it computes the first. A batch is one block, or several small
/// blocks that make `batch_s` of work. Batches shrink towards the end, so that all workers end together. At
/// the end a slow worker gets no second batch. It gets no first batch either if the others would finish it
/// sooner.
class BlockQueue {
 public:
  /// `order`: block ids, neighbours adjacent.
  BlockQueue(std::vector<std::int64_t> order, int workers, const BlockQueueOptions& options = {});

  /// The blocks to assign to `worker` (from 0) at `now_s`. Empty when it holds enough, or when none remain
  /// for it.
  std::vector<std::int64_t> next_for(int worker, double now_s);
  /// Reports that `worker` has done these blocks. `now_s` updates the estimate of its speed.
  void done(int worker, std::span<const std::int64_t> blocks, double now_s);
  /// Reports that `worker` has failed on this block. The estimate of its speed is unchanged.
  void failed(int worker, std::int64_t block, double now_s);
  /// Queues a block for a retry after `worker` failed on it. Another worker gets it, if there is one.
  void retry(std::int64_t block, int worker);
  /// `worker` gets no blocks until resume(); its range is available to the others. Returns false, without a
  /// change, for the last active worker.
  bool suspend(int worker);
  void resume(int worker);
  /// `worker` continues in the middle of its range, far from its current position.
  void jump(int worker);
  /// Discards every block that is not assigned.
  void drop_waiting();

  /// Estimates the seconds from `now_s` until the last worker has finished its blocks and one more. For a
  /// worker without a finished block, the estimate for its first block is at least twice its elapsed time.
  double seconds_for_one_more(double now_s) const;

  /// Blocks that are not assigned.
  std::int64_t waiting() const { return waiting_; }
  /// Blocks that are assigned and not finished.
  std::int64_t in_flight() const { return in_flight_; }
  /// The blocks of `worker` in flight, in its order of work.
  const std::deque<std::int64_t>& held_by(int worker) const { return at(worker).held; }
  int workers() const { return static_cast<int>(workers_.size()); }

 private:
  struct Worker {
    std::size_t begin = 0, end = 0;  ///< its range of the order
    std::deque<std::int64_t> held;
    double block_s = 0;  ///< per block, smoothed; 0: unknown
    double last_end_s = 0;
    bool suspended = false;
  };
  struct Retry {
    std::int64_t block = 0;
    int failed_by = 0;
  };

  Worker& at(int worker) { return workers_[static_cast<std::size_t>(worker)]; }
  const Worker& at(int worker) const { return workers_[static_cast<std::size_t>(worker)]; }
  void put_down(Worker& worker, std::int64_t block);
  bool would_be_late(const Worker& worker) const;
  std::size_t batch_of(const Worker& worker) const;
  bool take_retry(int worker, std::vector<std::int64_t>& batch);
  bool take_half_of_longest(Worker& thief);

  BlockQueueOptions options_;
  std::vector<std::int64_t> order_;
  std::vector<Worker> workers_;
  std::deque<Retry> retries_;
  std::int64_t waiting_ = 0, in_flight_ = 0, active_ = 0;
  double sum_block_s_ = 0;  ///< sum over the workers whose time per block is known
  std::int64_t known_ = 0;  ///< the number of these workers
};

}  // namespace tessera
