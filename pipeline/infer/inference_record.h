#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/volume/block_journal.h"
#include "pipeline/blocks/block_run.h"
#include "pipeline/blocks/result_state.h"
#include "pipeline/config/experiment.h"
#include "pipeline/infer/inference_report.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"

namespace tessera {

/// Errors: UsageError when the result would be written into the raw volume's own file.
void require_own_file(const InferConfig& config);

/// Writes the report of a result that is complete already, unless the run folder has it: the last start may
/// have been killed after its last block.
void report_complete(const RunFolder& folder, const std::string& result, const JournalContents& journal);

/// What the coordinator's process keeps of an inference: its block run, and the report at its end.
class InferenceRecord {
 public:
  /// `chunks_stored`: of the raw volume, 0 where the report is not to compare with them. `signal` and
  /// `wall_time` must outlive the record.
  InferenceRecord(const InferConfig& config, OpenResult result, std::int64_t chunks_stored,
                  const StopSignal& signal, const WallTime& wall_time);

  BlockRun& run() { return run_; }
  /// Commits the journal, writes the report, and ends as every rank ends. Errors: StoppedEarly, Error.
  void conclude(const RunFolder& folder);

 private:
  InferenceReport report_;
  BlockRun run_;
};

}  // namespace tessera
