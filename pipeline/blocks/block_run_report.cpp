#include "pipeline/blocks/block_run_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/base/error.h"

namespace tessera {
namespace {

constexpr std::size_t kFailuresShown = 20;

}  // namespace

WorkerStatistics BlockRunReport::total() const {
  WorkerStatistics sum;
  for (const WorkerAccount& worker : workers) {
    const WorkerStatistics& w = worker.statistics;
    sum.blocks += w.blocks;
    sum.skipped += w.skipped;
    sum.voxels += w.voxels;
    sum.read_s += w.read_s;
    sum.compute_s += w.compute_s;
    sum.write_s += w.write_s;
    sum.wait_s += w.wait_s;
    sum.elapsed_s += w.elapsed_s;
  }
  return sum;
}

std::string BlockRunReport::failed_text() const {
  if (failed.empty()) return {};
  std::string text =
      fmt::format("{} of {} {} could not be {}", failed.size(), blocks, names.blocks, names.done);
  if (names.resumes) {
    text += fmt::format(", the others are done; start again to try {} again",
                        failed.size() == 1 ? "it" : "these");
  }
  text += ":";
  for (std::size_t i = 0; i < std::min(failed.size(), kFailuresShown); ++i) {
    text += fmt::format("\n  {}, {} attempt{}, the last on {}: {}", failed_places[i], failed[i].attempts,
                        failed[i].attempts == 1 ? "" : "s", failed[i].worker, failed[i].message);
  }
  if (failed.size() > kFailuresShown) {
    text += fmt::format("\n  and {} more{}", failed.size() - kFailuresShown,
                        names.report_file.empty() ? "" : fmt::format(" ({} lists all)", names.report_file));
  }
  return text;
}

void BlockRunReport::require_done() const {
  const std::string so_far =
      fmt::format("{} of {} {} are done", blocks_before + blocks_done + blocks_skipped, blocks, names.blocks);
  if (!failure.empty()) {
    if (!names.resumes) throw Error(failure);
    throw Error(fmt::format("{}\n{}; correct the cause and start again to go on", failure, so_far));
  }
  if (stopped) {
    const char* why = stopped_for_time ? "stopped before the job's time limit" : "stopped by a signal";
    throw StoppedEarly(fmt::format("{}: {}; start again to go on", why, so_far));
  }
  if (!failed.empty()) throw Error(failed_text());
}

}  // namespace tessera
