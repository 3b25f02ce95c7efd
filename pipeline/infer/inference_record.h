#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/volume/block_journal.h"
#include "pipeline/blocks/block_run.h"
#include "pipeline/blocks/result_state.h"
#include "pipeline/config/experiment.h"
#include "pipeline/infer/inference_plan.h"
#include "pipeline/infer/inference_report.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"

namespace tessera {

/// Errors: UsageError when the result would be written into a file that the raw volume or the mask is in,
/// also through links or as a source of a virtual dataset.
void require_own_file(const InferConfig& config, const InferenceInputs& inputs);

/// Writes the report of a complete result, unless the run folder has it already. A start may be killed after
/// its last block and before its report.
void report_complete(const RunFolder& folder, const std::string& result, const JournalContents& journal);

/// The state of an inference in the coordinator's process: its block run and its final report.
class InferenceRecord {
 public:
  /// `chunks_stored`: of the raw volume; 0: the report does not compare with it. `warnings`: for the report.
  /// `signal` and `wall_time` must outlive the record.
  InferenceRecord(const InferConfig& config, OpenResult result, std::int64_t chunks_stored,
                  std::vector<std::string> warnings, const StopSignal& signal, const WallTime& wall_time);

  BlockRun& run() { return run_; }
  /// Commits the journal, writes the report, and throws the run's error, if any. Errors: StoppedEarly, Error.
  void conclude(const RunFolder& folder);

 private:
  InferenceReport report_;
  BlockRun run_;
};

}  // namespace tessera
