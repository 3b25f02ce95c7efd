#include "pipeline/infer/inference_record.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "pipeline/blocks/input_files.h"
#include "pipeline/run/run_end.h"

namespace tessera {
namespace {

constexpr auto kReportFile = "inference.json";

BlockJob job_of(const InferConfig& config, const JournalContents& journal, const StopSignal& signal,
                const WallTime& wall_time) {
  BlockJob job = block_job_over(journal);
  job.verb = "infer";
  job.names.done = "predicted";
  job.names.report_file = kReportFile;
  job.should_stop = [&signal] { return signal.asked(); };
  job.time_allows = [&wall_time](double seconds) { return wall_time.allows(seconds); };
  job.limits.max_retries = config.max_retries;
  job.limits.watchdog_s = 60 * config.watchdog_minutes;
  job.limits.watchdog_setting = "infer.watchdog_minutes";
  return job;
}

}  // namespace

void require_own_file(const InferConfig& config, const InferenceInputs& inputs) {
  std::vector<std::pair<const VolumeInfo*, std::string>> read{{&inputs.raw, "raw volume"}};
  if (inputs.mask) read.emplace_back(&*inputs.mask, "mask");
  require_own_file(config.output->file, "infer.output", read);
}

void report_complete(const RunFolder& folder, const std::string& result, const JournalContents& journal) {
  folder.remove_left_over();
  const std::filesystem::path file = folder.path() / kReportFile;
  if (file_exists(file) && std::filesystem::file_size(file) > 0) {
    const std::vector<std::byte> bytes = read_file_bytes(file);
    const auto there =
        parse_json<nlohmann::json>({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    const std::string named = json_text_at(there, "result");
    if (named == shown_as_utf8(result) && json_text_at(there, "end") == name_of(RunEnd::done)) return;
  }
  InferenceReport report;
  report.result = result;
  report.run.blocks = report.run.blocks_before = journal.head.blocks.count();
  report.run.starts = journal.starts;
  write_text_file(file, json_text(report.json(), 2) + "\n");
}

InferenceRecord::InferenceRecord(const InferConfig& config, OpenResult result, std::int64_t chunks_stored,
                                 std::vector<std::string> warnings, const StopSignal& signal,
                                 const WallTime& wall_time)
    : run_(job_of(config, result.contents, signal, wall_time), std::move(result.journal)) {
  report_.result = config.output->text();
  report_.raw_chunks_stored = chunks_stored;
  report_.warnings = std::move(warnings);
}

void InferenceRecord::conclude(const RunFolder& folder) {
  report_.run = run_.end();
  write_text_file(folder.path() / kReportFile, json_text(report_.json(), 2) + "\n");
  std::cout << report_.text() << std::flush;
  report_.run.require_done();
  std::cout << "result: " << report_.result << "\n" << std::flush;
}

}  // namespace tessera
