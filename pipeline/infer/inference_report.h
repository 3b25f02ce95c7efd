#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "pipeline/blocks/block_run_report.h"
#include "workers/infer/prediction_statistics.h"

namespace tessera {

/// The report of an inference, as text and as JSON.
struct InferenceReport {
  BlockRunReport run;
  std::string result;                  ///< file.h5:/path
  std::int64_t raw_chunks_stored = 0;  ///< 0: not compared with the chunks read
  std::vector<std::string> warnings;   ///< doubts_about() the raw volume

  /// The sums over the workers, and their largest differences from float32.
  PredictionStatistics total() const;
  /// A table of the workers with the fraction of their time in each stage.
  std::string text() const;
  /// The number of workers per engine; "" when all used the same. Where blocks of different engines meet,
  /// pixels may differ by rounding.
  std::string ways_text() const;
  nlohmann::json json() const;
};

}  // namespace tessera
