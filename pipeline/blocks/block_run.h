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

/// A job whose blocks are handed out to workers, whatever these do with them.
struct BlockJob {
  std::string verb;                 ///< of the progress line, such as "verify"
  BlockJobNames names;              ///< for messages
  std::int64_t blocks = 0;          ///< all of the job; ids from 0
  std::vector<std::int64_t> order;  ///< the blocks to do, neighbours together
  std::int64_t starts_before = 0;
  std::function<std::int64_t(std::int64_t)> voxels_of;  ///< of a block
  std::function<std::string(std::int64_t)> text_of;     ///< a block in a message: "block 12 (z [0, 4) ...)"
  std::function<void(const BlockReport&)> block_done;   ///< may be empty; before the journal's record
  std::function<bool()> should_stop;                    ///< may be empty, as CoordinatorHooks
  std::function<bool(double)> time_allows;              ///< likewise
  CoordinatorOptions limits;
};

/// The blocks of a plan: their number, voxels and text.
BlockJob block_job_over(const BlockPlan& plan);
/// The blocks of a journal that it has no record of.
BlockJob block_job_over(const JournalContents& journal);

/// One start of a block job, in the coordinator's process: coordinator, progress and, for a job that can be
/// resumed, the journal.
class BlockRun {
 public:
  explicit BlockRun(BlockJob job, std::unique_ptr<BlockJournal> journal = nullptr);
  BlockRun(const BlockRun&) = delete;
  BlockRun& operator=(const BlockRun&) = delete;

  Coordinator& coordinator() { return coordinator_; }
  /// After the work: commits the journal, ends the progress line. Errors: Error.
  BlockRunReport end();

 private:
  CoordinatorHooks hooks();

  BlockJob job_;
  std::unique_ptr<BlockJournal> journal_;
  Progress progress_;
  Coordinator coordinator_;
};

/// Collective. Does the blocks. The root has `run`; the workers (every other rank, or the root where it is
/// alone) have `task`; elsewhere these are null. `device` names where a worker computes, for people. Errors:
/// Error on the root alone when a worker is silent.
void run_blocks(BlockTask* task, BlockRun* run, const std::string& device, const Communicator& world);

}  // namespace tessera
