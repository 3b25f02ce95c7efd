#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "pipeline/blocks/block_run_report.h"
#include "workers/infer/prediction_statistics.h"

namespace tessera {

/// How an inference went, for people and as JSON.
struct InferenceReport {
  BlockRunReport run;
  std::string result;                  ///< file.h5:/path
  std::int64_t raw_chunks_stored = 0;  ///< 0: not compared with the chunks read

  /// The sums over the workers, and their largest differences from float32.
  PredictionStatistics total() const;
  /// A table of the workers with the share of their time in each stage.
  std::string text() const;
  /// How many workers computed in which way, where not all did in one: where their blocks meet, pixels may
  /// differ by rounding. "" else.
  std::string ways_text() const;
  nlohmann::json json() const;
};

}  // namespace tessera
