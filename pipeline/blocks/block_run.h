#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/volume/block_journal.h"
#include "pipeline/blocks/block_run_report.h"
#include "pipeline/blocks/coordinator.h"
#include "pipeline/run/progress.h"
#include "workers/blocks/block_task.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// A job that distributes blocks to workers, independent of their task.
struct BlockJob {
  std::string verb;                 ///< for the progress line, such as "verify"
  BlockJobNames names;              ///< for messages
  std::int64_t blocks = 0;          ///< total number; ids from 0
  std::vector<std::int64_t> order;  ///< the blocks to do, neighbours adjacent
  std::int64_t starts_before = 0;
  std::function<std::int64_t(std::int64_t)> voxels_of;  ///< of a block
  std::function<std::string(std::int64_t)> text_of;     ///< a block in a message: "block 12 (z [0, 4) ...)"
  std::function<void(const BlockReport&)> block_done;   ///< may be empty; called before the journal's record
  std::function<bool()> should_stop;                    ///< may be empty; as in CoordinatorHooks
  std::function<bool(double)> time_allows;              ///< may be empty; as in CoordinatorHooks
  CoordinatorOptions limits;
};

/// The number, voxels and texts of a plan's blocks.
BlockJob block_job_over(const BlockPlan& plan);
/// The blocks without a record in the journal.
BlockJob block_job_over(const JournalContents& journal);

/// One start of a block job in the coordinator's process: coordinator, progress and, for a resumable job, the
/// journal.
class BlockRun {
 public:
  explicit BlockRun(BlockJob job, std::unique_ptr<BlockJournal> journal = nullptr);
  BlockRun(const BlockRun&) = delete;
  BlockRun& operator=(const BlockRun&) = delete;

  Coordinator& coordinator() { return coordinator_; }
  /// To be called after the work. Commits the journal and ends the progress line. Errors: Error.
  BlockRunReport end();

 private:
  CoordinatorHooks hooks();

  BlockJob job_;
  std::unique_ptr<BlockJournal> journal_;
  Progress progress_;
  Coordinator coordinator_;
};

/// Collective. Runs the job. `run` is set on the root and null elsewhere. `task` is set on the workers and
/// null elsewhere. The workers are all ranks but the root, or the root if it is the only rank. `device`:
/// where a worker computes, for display. Errors: Error on the root alone when a worker is silent.
void run_blocks(BlockTask* task, BlockRun* run, const std::string& device, const Communicator& world);

}  // namespace tessera
