#include "pipeline/blocks/result_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "io/base/error.h"
#include "io/stores/open_volume.h"
#include "pipeline/blocks/block_run.h"
#include "workers/mpi/agreement.h"
#include "workers/results/verify_task.h"

namespace tessera {
namespace {

JournalContents read_journal_of(const DatasetName& result) {
  const VolumeInfo info = read_volume_info(result);
  const std::map<std::string, std::string>& attributes = info.attributes;
  const auto instance = attributes.find("instance");
  if (instance == attributes.end()) {
    throw UsageError(
        fmt::format("{} is no result of 'tessera infer', or of a version without a journal", result.text()));
  }
  const std::filesystem::path file = journal_of(result.file);
  JournalContents journal = read_journal(file);
  if (journal.head.instance != instance->second) {
    throw Error(fmt::format("{} belongs to another file than {}: what is done cannot be known", file.string(),
                            result.file.string()));
  }
  if (journal.head.blocks.region().shape() != info.shape) {
    throw Error(fmt::format("{} is of a region of {}, but {} has {}: what is done cannot be known",
                            file.string(), to_string(journal.head.blocks.region().shape()), result.text(),
                            to_string(info.shape)));
  }
  return journal;
}

BlockJob checking_job(const JournalContents& journal, const CoordinatorOptions& limits) {
  BlockJob job = block_job_over(journal.head.blocks);
  job.verb = "verify";
  job.names.done = "read";
  std::vector<bool> is_done(static_cast<std::size_t>(job.blocks));
  for (const JournalRecord& record : journal.records)
    is_done[static_cast<std::size_t>(record.block)] = record.outcome == BlockOutcome::done;
  std::erase_if(job.order, [&](std::int64_t id) { return !is_done[static_cast<std::size_t>(id)]; });
  job.limits = limits;
  job.limits.gives_up = false;  // every failed block is a finding
  return job;
}

/// Adds the blocks that could not be read.
void add_unreadable(const BlockRunReport& report, ResultCheck& check) {
  for (const QuarantinedBlock& block : report.failed) {
    std::string message = fmt::format("{} ({} attempt{}, the last on {})", block.message, block.attempts,
                                      block.attempts == 1 ? "" : "s", block.worker);
    std::ranges::replace(message, '\n', ' ');
    check.damaged.push_back({block.id, std::move(message)});
    check.blocks += 1;
  }
}

}  // namespace

JournalContents share_journal(const DatasetName& result, const Communicator& world) {
  struct Blocks {
    Box region;
    Index3 block_shape;
  } blocks;
  JournalContents journal;
  on_root(world, [&] {
    journal = read_journal_of(result);
    blocks = {journal.head.blocks.region(), journal.head.blocks.block_shape()};
  });
  world.broadcast(std::as_writable_bytes(std::span(&blocks, 1)));
  journal.head.blocks = BlockPlan::of_region(blocks.region, blocks.block_shape);
  return journal;
}

ResultCheck check_blocks(const DatasetName& volume, const JournalContents& journal,
                         const CoordinatorOptions& limits, const Communicator& world) {
  ResultCheck check;
  std::unique_ptr<VerifyTask> task;
  std::unique_ptr<BlockRun> run;
  std::unordered_map<std::int64_t, std::uint32_t> written;
  on_every_rank(world, [&] {
    if (world.size() == 1 || !world.is_root())
      task = std::make_unique<VerifyTask>(volume, journal.head.blocks);
  });
  on_root(world, [&] {
    for (const JournalRecord& record : journal.records)
      written[record.block] = record.crc;
    BlockJob job = checking_job(journal, limits);
    job.block_done = [&check, &written](const BlockReport& report) {
      check.blocks += 1;
      check.bytes += bytes_read_of(report);
      const std::uint32_t crc = written.at(report.id);
      if (report.crc != crc) {
        check.damaged.push_back(
            {report.id, fmt::format("its checksum is {:08x}, {:08x} was written", report.crc, crc)});
      }
    };
    run = std::make_unique<BlockRun>(std::move(job));
  });
  run_blocks(task.get(), run.get(), "", world);
  on_root(world, [&] {
    const BlockRunReport report = run->end();
    if (!report.failure.empty()) throw Error(report.failure);
    add_unreadable(report, check);
    std::ranges::sort(check.damaged, {}, &DamagedBlock::id);
  });
  return check;
}

std::string damage_text(const ResultCheck& check, const BlockPlan& blocks, std::size_t shown) {
  std::string text;
  for (std::size_t i = 0; i < std::min(shown, check.damaged.size()); ++i) {
    const DamagedBlock& block = check.damaged[i];
    text += fmt::format("\n  block {} ({}): {}", block.id, to_string(blocks.block(block.id)), block.message);
  }
  if (check.damaged.size() > shown) text += fmt::format("\n  and {} more", check.damaged.size() - shown);
  return text;
}

}  // namespace tessera
