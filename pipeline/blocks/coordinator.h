#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "io/base/clock.h"
#include "pipeline/blocks/block_queue.h"
#include "workers/blocks/block_exchange.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Callbacks to the coordinator's owner.
struct CoordinatorHooks {
  /// Called when a block is done (its voxels are on the disk) or skipped. It writes the journal's record. An
  /// exception ends the job like a worker's WholeJobError.
  std::function<void(const BlockReport&)> block_done;
  /// Called with the number of voxels computed since the last call.
  std::function<void(std::int64_t)> progress;
  /// Called many times a second. When it returns true, no further block is assigned, and the run ends after
  /// the blocks in flight.
  std::function<bool()> should_stop;
  /// Called about twice a second with the estimated seconds until one more block would finish. Returns
  /// whether the job's time limit allows it. If not, the run ends as for should_stop.
  std::function<bool(double)> time_allows;
  /// The name of a block in messages: "block 12 (z [0, 4) ...)".
  std::function<std::string(std::int64_t)> block_text;
};

struct CoordinatorOptions {
  int max_retries = 2;  ///< number of retries of a failed block
  /// A worker that is silent for longer (and for several heartbeats) ends the job; 0: never.
  double watchdog_s = 0;
  std::string watchdog_setting;  ///< the name of the user's setting of that limit, for the message
  /// Whether the job ends after so many consecutive failed attempts that the remaining blocks would probably
  /// fail, too. Otherwise every block is attempted.
  bool gives_up = true;
  BlockQueueOptions queue;
  std::function<double()> clock = seconds_now;  ///< monotonic; a simulation replaces it
};

/// A block that failed in every attempt.
struct QuarantinedBlock {
  std::int64_t id = 0;
  int attempts = 0;
  std::string worker;   ///< of the last attempt: "rank 3 on node17"
  std::string message;  ///< the error message of the last attempt
};

/// A worker's final state.
struct WorkerAccount {
  int rank = 0;
  WorkerIdentity identity;
  WorkerStatistics statistics;
  std::vector<std::byte> details;  ///< BlockTask::details() of its task
};

/// Assigns blocks and receives the reports. Workers are numbered from 0.
class Coordinator {
 public:
  /// `order`: the blocks to do, neighbours adjacent.
  Coordinator(std::vector<std::int64_t> order, CoordinatorHooks hooks,
              const CoordinatorOptions& options = {});

  /// To be called once, first. `workers`: their number. `first_rank`: the rank of worker 0, for messages.
  void begin(int workers, int first_rank);

  /// The blocks to assign to a worker now; may be empty.
  std::vector<std::int64_t> next_for(int worker);
  /// Whether every block has ended and none remains.
  bool over() const { return queue_->waiting() == 0 && queue_->in_flight() == 0; }

  void worker_here(int worker, const WorkerIdentity& identity);
  void hear(int worker, const std::vector<BlockReport>& reports);
  void hear(int worker, const BlockFailure& failure);
  void hear(int worker, const WorkerPulse& pulse);
  void worker_left(int worker, const WorkerStatistics& statistics, std::span<const std::byte> details = {});
  /// To be called often. Calls should_stop and time_allows, and checks the watchdog. Errors: Error naming a
  /// worker that is silent or makes no progress. The job cannot end in order then, because that worker does
  /// not take part.
  void look_around();

  /// Whether a signal or the job's time limit ended the run before all blocks were assigned.
  bool stopped() const { return stopped_; }
  /// Whether the time limit was the cause.
  bool stopped_for_time() const { return stopped_for_time_; }
  /// Why the whole job failed; "" when it did not.
  const std::string& failure() const { return failure_; }
  const std::vector<QuarantinedBlock>& quarantined() const { return quarantined_; }
  std::int64_t blocks_done() const { return blocks_done_; }
  std::int64_t blocks_skipped() const { return blocks_skipped_; }
  /// The workers that have left, by rank.
  std::vector<WorkerAccount> accounts() const;
  std::size_t workers_left() const { return left_; }

 private:
  struct Seen {
    WorkerIdentity identity;
    double heard_s = 0;
    double still_s = 0;
    int failures_in_a_row = 0;
    bool suspended = false, sick = false;
    std::optional<WorkerStatistics> statistics;
    std::vector<std::byte> details;
  };

  Seen& seen(int worker) { return seen_[static_cast<std::size_t>(worker)]; }
  std::string name_of(int worker) const;
  void end_job(const std::string& why);
  void end_if_hopeless(int worker, const std::string& last);
  void suspect(int worker);
  void acquit(int worker);
  void note_done(int worker, std::int64_t id);
  bool time_is_over(double now_s);
  void watch(double now_s);
  [[noreturn]] void give_up_on(int worker, double seconds, const std::string& what) const;

  std::vector<std::int64_t> order_;
  std::int64_t blocks_ = 0;  ///< of the order
  CoordinatorHooks hooks_;
  CoordinatorOptions options_;
  std::optional<BlockQueue> queue_;
  int first_rank_ = 0;
  std::vector<Seen> seen_;
  /// Failed attempts on blocks that are not done yet.
  struct Attempts {
    int count = 0;
    int last_by = 0;  ///< worker
  };
  std::map<std::int64_t, Attempts> attempts_;
  std::vector<QuarantinedBlock> quarantined_;
  std::int64_t blocks_done_ = 0, blocks_skipped_ = 0;
  std::int64_t failed_attempts_ = 0;  ///< since the last block was done
  double last_watch_s_ = 0, last_asked_s_ = 0;
  std::size_t left_ = 0;
  bool stopped_ = false, stopped_for_time_ = false;
  std::string failure_;
};

/// Serves the workers, ranks 1 to size - 1 of `world`, until each has left. Rank 0 calls it. The workers run
/// `run_block_worker` with an `MpiBlockExchange`. Errors: Error when a worker is silent.
void serve_workers(const Communicator& world, Coordinator& coordinator);

/// The exchange within a single process that is both coordinator and worker.
class LocalBlockExchange : public BlockExchange {
 public:
  explicit LocalBlockExchange(Coordinator& coordinator, const std::string& device = {});
  std::optional<std::int64_t> poll() override;
  bool finished() const override { return assigned_.empty() && coordinator_.over(); }
  void report(const BlockReport& report) override { coordinator_.hear(0, std::vector{report}); }
  void report(const BlockFailure& failure) override { coordinator_.hear(0, failure); }
  void flush() override {}
  void pulse(const WorkerPulse& pulse) override { coordinator_.hear(0, pulse); }
  void leave(const WorkerStatistics& statistics, std::span<const std::byte> details) override {
    coordinator_.worker_left(0, statistics, details);
  }

 private:
  Coordinator& coordinator_;
  std::deque<std::int64_t> assigned_;
};

}  // namespace tessera
