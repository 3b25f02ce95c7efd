#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pipeline/blocks/coordinator.h"

namespace tessera {

/// How an inference went, for people and as JSON.
struct InferenceReport {
  std::string result;                  ///< file.h5:/path
  std::string end = "done";            ///< or "stopped", "failed"
  std::vector<WorkerAccount> workers;  ///< of this start
  std::vector<QuarantinedBlock> failed;
  std::vector<std::string> failed_places;  ///< in words, beside `failed`
  double elapsed_s = 0;
  std::int64_t raw_chunks_stored = 0;
  std::int64_t blocks = 0;                           ///< all of the job
  std::int64_t blocks_before = 0;                    ///< done by earlier starts
  std::int64_t blocks_done = 0, blocks_skipped = 0;  ///< by this one
  std::int64_t starts = 1;                           ///< of the job, this one among them

  /// The sums over the workers.
  WorkerStatistics total() const;
  /// A table of the workers with the share of their time in each stage.
  std::string text() const;
  /// How many workers computed in which way, where not all did in one: where their blocks meet, pixels may
  /// differ by rounding. "" else.
  std::string ways_text() const;
  /// The blocks that failed, a line each; "" without any.
  std::string failed_text() const;
  nlohmann::json json() const;
};

}  // namespace tessera
