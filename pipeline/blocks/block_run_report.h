#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/blocks/coordinator.h"
#include "pipeline/run/run_end.h"

namespace tessera {

/// How messages name what a block job does.
struct BlockJobNames {
  std::string blocks = "blocks";  ///< such as "chunk ranges"
  std::string done = "computed";  ///< what happens to a block: "packed"
  std::string report_file;        ///< lists every failed block; "": none does
  bool resumes = false;           ///< whether the next start does what is left
};

/// How one start of a block job ended.
struct BlockRunReport {
  BlockJobNames names;
  RunEnd end = RunEnd::done;
  std::string failure;   ///< why the whole job failed; "" when it did not
  bool stopped = false;  ///< by a signal or the job's time, before all was handed out
  bool stopped_for_time = false;
  std::vector<WorkerAccount> workers;  ///< of this start
  std::vector<QuarantinedBlock> failed;
  std::vector<std::string> failed_places;  ///< as text, beside `failed`
  double elapsed_s = 0;
  std::int64_t blocks = 0;                           ///< all of the job
  std::int64_t blocks_before = 0;                    ///< done by earlier starts
  std::int64_t blocks_done = 0, blocks_skipped = 0;  ///< by this one
  std::int64_t starts = 1;                           ///< of the job, this one among them

  /// The sums over the workers, without what concerns their start.
  WorkerStatistics total() const;
  /// The blocks that failed, a line each; "" without any.
  std::string failed_text() const;
  /// Errors: Error for a job or blocks that failed, StoppedEarly.
  void require_done() const;
};

}  // namespace tessera
