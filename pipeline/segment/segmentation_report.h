#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "pipeline/blocks/block_run_report.h"
#include "pipeline/segment/segmentation_plan.h"
#include "workers/segment/volume_graph.h"

namespace tessera {

/// The result of one start of a segmentation.
struct SegmentationReport {
  std::string result;               ///< file.h5:/path
  std::string stages;               ///< JSON, as in the graph's file
  BlockRunReport first, second;     ///< the passes; without blocks where an earlier start did them
  double graph_s = 0;               ///< of the graph stage
  bool graph_was_done = false;      ///< by an earlier start
  std::optional<double> cut;        ///< the threshold at which the tree of an earlier start was cut
  std::string choice, choice_text;  ///< of a threshold that is chosen: JSON, and a table; else empty
  GraphSums sums;

  /// A few lines: the passes' rates, and the numbers of fragments and objects.
  std::string text() const;
  nlohmann::json json() const;
};

}  // namespace tessera
