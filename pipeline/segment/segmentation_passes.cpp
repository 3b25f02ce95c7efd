#include "pipeline/segment/segmentation_passes.h"

#include <fmt/format.h>

#include <span>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "io/base/log.h"
#include "workers/mpi/agreement.h"
#include "workers/segment/segment_tasks.h"

namespace tessera {

BlockJob SegmentationPasses::block_job(const JournalContents& journal, const Names& names) const {
  const SegmentConfig& segment = planned_.segment;
  BlockJob job = block_job_over(journal);
  job.verb = fmt::format("segment, pass {} of {}", names.number, planned_.plan.supervoxels ? 3 : 2);
  job.names.done = names.done;
  job.should_stop = [this] { return planned_.start.signal.asked(); };
  job.time_allows = [this](double seconds) { return planned_.start.wall_time.allows(seconds); };
  job.limits.max_retries = segment.max_retries;
  job.limits.watchdog_s = 60 * segment.watchdog_minutes;
  job.limits.watchdog_setting = "segment.watchdog_minutes";
  return job;
}

void SegmentationPasses::run(const Names& names, const std::function<std::unique_ptr<BlockTask>()>& make_task,
                             const JournalContents* journal,
                             const std::function<std::unique_ptr<BlockJournal>()>& open,
                             BlockRunReport& report) {
  const Communicator& world = planned_.world;
  const std::int64_t left = journal == nullptr ? 0 : journal->blocks_left();
  if (!world.any(left > 0)) return;
  on_root(world, [&] { record_.begin_step(names.step, journal->head.blocks.count() - left); });
  std::unique_ptr<BlockTask> task;
  if (planned_.is_worker()) task = make_task();
  std::unique_ptr<BlockRun> run;
  on_root(world, [&] { run = std::make_unique<BlockRun>(block_job(*journal, names), open()); });
  run_blocks(task.get(), run.get(), planned_.start.device.text(), world);
  on_root(world, [&] {
    report = run->end();
    report.require_done();
  });
}

/// Takes blocks with bad files out of the journal. Errors: Error at the second time.
void SegmentationPasses::compute_again(const SegmentJob& job, const std::vector<std::int64_t>& blocks,
                                       int tries, FirstPassFolder& folder) const {
  if (tries > 0) {
    throw Error(
        fmt::format("{}: the graph files of {} blocks cannot be read, such as block {}: look at the "
                    "disk, then start again",
                    job.folder.string(), blocks.size(), blocks.front()));
  }
  spdlog::warn("{}: the graph files of {} blocks are damaged, such as block {}; they are computed again",
               job.folder.string(), blocks.size(), blocks.front());
  folder.forget(blocks);
}

GraphShare SegmentationPasses::first(const SegmentJob& job, FirstPassFolder* folder) {
  const Communicator& world = planned_.world;
  for (int tries = 0;; ++tries) {
    run(
        {"first pass", 1, "analysed"}, [&] { return std::make_unique<BlockGraphTask>(job); },
        folder == nullptr ? nullptr : &folder->contents(), [&] { return folder->open(); },
        record_.report.first);
    on_root(world, [&] { folder->refresh(); });
    std::vector<std::uint32_t> crcs(static_cast<std::size_t>(planned_.plan.blocks.count()));
    if (folder != nullptr) crcs = folder->crcs();
    world.broadcast(std::as_writable_bytes(std::span(crcs)));
    GraphShare share;
    on_every_rank(world, [&] { share = read_graph_share(job, crcs, world.rank(), world.size()); });
    std::vector<std::int64_t> bad(crcs.size());
    for (const std::int64_t one : share.bad)
      bad[static_cast<std::size_t>(one)] = 1;
    world.sum(bad);
    std::vector<std::int64_t> blocks;
    for (std::size_t i = 0; i < bad.size(); ++i) {
      if (bad[i] != 0) blocks.push_back(static_cast<std::int64_t>(i));
    }
    if (blocks.empty()) return share;
    on_root(world, [&] { compute_again(job, blocks, tries, *folder); });
  }
}

void SegmentationPasses::relabel(const Names& names, const SegmentJob& job,
                                 const std::filesystem::path& tables, IdVolume* volume,
                                 BlockRunReport& report) {
  run(
      names, [&] { return std::make_unique<RelabelTask>(job, tables); },
      volume == nullptr ? nullptr : &volume->contents(), [&] { return volume->take_journal(); }, report);
}

void SegmentationPasses::objects(const SegmentJob& job, IdVolume* volume) {
  relabel({"second pass", 2, "written"}, job, job.tables(), volume, record_.report.second);
}

void SegmentationPasses::supervoxels(const SegmentJob& job, IdVolume* volume) {
  relabel({"supervoxels", 3, "written"}, job, job.supervoxel_tables(), volume, record_.report.third);
}

}  // namespace tessera
