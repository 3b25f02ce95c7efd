#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/blocks/coordinator.h"
#include "pipeline/run/run_end.h"

namespace tessera {

/// The names in the messages of a block job.
struct BlockJobNames {
  std::string blocks = "blocks";  ///< such as "chunk ranges"
  std::string done = "computed";  ///< what happens to a block: "packed"
  std::string report_file;        ///< contains every failed block; "": no such file
  bool resumes = false;           ///< whether the next start continues with the remaining blocks
};

/// The result of one start of a block job.
struct BlockRunReport {
  BlockJobNames names;
  RunEnd end = RunEnd::done;
  std::string failure;   ///< why the whole job failed; "" when it did not
  bool stopped = false;  ///< by a signal or the job's time limit, before all blocks were assigned
  bool stopped_for_time = false;
  std::vector<WorkerAccount> workers;  ///< of this start
  std::vector<QuarantinedBlock> failed;
  std::vector<std::string> failed_places;  ///< the texts of `failed`, in the same order
  double elapsed_s = 0;
  std::int64_t blocks = 0;                           ///< all of the job
  std::int64_t blocks_before = 0;                    ///< done by earlier starts
  std::int64_t blocks_done = 0, blocks_skipped = 0;  ///< by this start
  std::int64_t starts = 1;                           ///< of the job, including this one

  /// The sums over the workers, without the fields on their start.
  WorkerStatistics total() const;
  /// The failed blocks, one per line; "" without any.
  std::string failed_text() const;
  /// Errors: Error for a failed job or failed blocks; StoppedEarly.
  void require_done() const;
};

}  // namespace tessera
