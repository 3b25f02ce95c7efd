#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace tessera {

/// How blocks are handed out.
struct BlockQueueOptions {
  double batch_s = 0.02;    ///< of work in one message, for small blocks
  int largest_batch = 256;  ///< blocks in one message: below the size where MPI wants both sides to meet
};

/// Which worker gets which block when: the coordinator's policy, without messages or clocks, so that a
/// simulation can replay it.
///
/// Every worker has a stretch of the order to itself, so that neighbouring blocks (which share chunks of the
/// raw volume) go to the same one; whoever has done his takes half of the longest one left. A worker holds up
/// to two batches, the second one to read while it computes the first. A batch is one block, or as many small
/// ones as make `batch_s` of work, and shrinks towards the end, so that all workers end together. At the end
/// a slow worker gets no second batch, nor a first one that the others would have done sooner.
class BlockQueue {
 public:
  /// `order`: block ids, neighbours together.
  BlockQueue(std::vector<std::int64_t> order, int workers, const BlockQueueOptions& options = {});

  /// What to hand to `worker` (from 0) at `now_s`; empty when it has enough, or when nothing is left for it.
  std::vector<std::int64_t> next_for(int worker, double now_s);
  /// `worker` has done these blocks, which were handed to it. `now_s` teaches its speed.
  void done(int worker, std::span<const std::int64_t> blocks, double now_s);
  /// `worker` has failed with this one, which says nothing of its speed.
  void failed(int worker, std::int64_t block, double now_s);
  /// A block that `worker` failed with is to be tried again, by another if there is one.
  void retry(std::int64_t block, int worker);
  /// `worker` gets nothing until resume(); what was laid aside for it goes to others. False, and no change,
  /// for the last one that still gets something.
  bool suspend(int worker);
  void resume(int worker);
  /// `worker` goes on in the middle of its stretch, far from where it is now.
  void jump(int worker);
  /// Forgets every block that was not handed out.
  void drop_waiting();

  /// How long it takes from `now_s` until the last worker has done what it has and one block more, as far as
  /// is known: of a worker that has done none yet, that its first takes at least as long again as it has
  /// taken by now.
  double seconds_for_one_more(double now_s) const;

  /// Blocks that nobody has.
  std::int64_t waiting() const { return waiting_; }
  /// Blocks that workers have.
  std::int64_t in_flight() const { return in_flight_; }
  /// Blocks that `worker` has, in its order.
  const std::deque<std::int64_t>& held_by(int worker) const { return at(worker).held; }
  int workers() const { return static_cast<int>(workers_.size()); }

 private:
  struct Worker {
    std::size_t begin = 0, end = 0;  ///< its stretch of the order
    std::deque<std::int64_t> held;
    double block_s = 0;  ///< per block, smoothed; 0: not known yet
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
  double sum_block_s_ = 0;  ///< over the workers whose time per block is known
  std::int64_t known_ = 0;  ///< so many
};

}  // namespace tessera
