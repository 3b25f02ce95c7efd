#include "pipeline/blocks/block_run.h"

#include <fmt/format.h>

#include <utility>

#include "pipeline/run/run_end.h"
#include "workers/blocks/block_worker.h"

namespace tessera {

BlockJob block_job_over(const BlockPlan& plan) {
  BlockJob job;
  job.blocks = plan.count();
  job.order = plan.hand_out_order();
  job.voxels_of = [plan](std::int64_t id) { return plan.block(id).voxels(); };
  job.text_of = [plan](std::int64_t id) {
    return fmt::format("block {} ({})", id, to_string(plan.block(id)));
  };
  return job;
}

BlockJob block_job_over(const JournalContents& journal) {
  BlockJob job = block_job_over(journal.head.blocks);
  job.order = journal.unknown_blocks();
  job.starts_before = journal.starts;
  job.names.resumes = true;
  return job;
}

namespace {

double voxels_to_do(const BlockJob& job) {
  double voxels = 0;
  for (const std::int64_t id : job.order)
    voxels += static_cast<double>(job.voxels_of(id));
  return voxels;
}

/// The voxels of the blocks that earlier starts did.
double voxels_before(const BlockJob& job) {
  if (!job.names.resumes) return 0;
  double voxels = 0;
  for (std::int64_t id = 0; id < job.blocks; ++id)
    voxels += static_cast<double>(job.voxels_of(id));
  return voxels - voxels_to_do(job);
}

}  // namespace

BlockRun::BlockRun(BlockJob job, std::unique_ptr<BlockJournal> journal)
    : job_(std::move(job)),
      journal_(std::move(journal)),
      progress_(job_.verb, voxels_before(job_) + voxels_to_do(job_), "Mvoxels", 1e6, true,
                voxels_before(job_)),
      coordinator_(job_.order, hooks(), job_.limits) {}

CoordinatorHooks BlockRun::hooks() {
  CoordinatorHooks hooks;
  hooks.block_done = [this](const BlockReport& block) {
    if (job_.block_done) job_.block_done(block);
    if (journal_) journal_->append({block.id, block.outcome, block.crc});
    if (block.outcome == BlockOutcome::skipped) progress_.add(static_cast<double>(job_.voxels_of(block.id)));
  };
  hooks.progress = [this](std::int64_t voxels) { progress_.add(static_cast<double>(voxels)); };
  hooks.should_stop = job_.should_stop;
  hooks.time_allows = job_.time_allows;
  hooks.block_text = job_.text_of;
  return hooks;
}

BlockRunReport BlockRun::end() {
  BlockRunReport report;
  report.elapsed_s = progress_.elapsed_s();
  progress_.finish();
  if (journal_) journal_->commit();
  report.names = job_.names;
  report.failure = coordinator_.failure();
  report.stopped = coordinator_.stopped();
  report.stopped_for_time = coordinator_.stopped_for_time();
  report.workers = coordinator_.accounts();
  report.failed = coordinator_.quarantined();
  for (const QuarantinedBlock& block : report.failed)
    report.failed_places.push_back(job_.text_of(block.id));
  report.blocks = job_.blocks;
  if (job_.names.resumes) report.blocks_before = job_.blocks - static_cast<std::int64_t>(job_.order.size());
  report.blocks_done = coordinator_.blocks_done();
  report.blocks_skipped = coordinator_.blocks_skipped();
  report.starts = job_.starts_before + 1;
  const bool failed = !report.failure.empty() || !report.failed.empty();
  report.end = failed ? RunEnd::failed : report.stopped ? RunEnd::stopped : RunEnd::done;
  return report;
}

void run_blocks(BlockTask* task, BlockRun* run, const std::string& device, const Communicator& world) {
  if (!world.is_root()) {
    MpiBlockExchange exchange(world, device);
    run_block_worker(*task, exchange);
  } else if (world.size() > 1) {
    serve_workers(world, run->coordinator());
  } else {
    LocalBlockExchange exchange(run->coordinator(), device);
    run_block_worker(*task, exchange);
  }
}

}  // namespace tessera
