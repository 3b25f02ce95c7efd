#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "pipeline/blocks/block_run_report.h"
#include "pipeline/run/run_end.h"
#include "pipeline/segment/segmentation_plan.h"
#include "workers/segment/volume_graph.h"

namespace tessera {

/// The result of one start of a segmentation.
struct SegmentationReport {
  RunEnd end = RunEnd::running;
  std::string step;                ///< the latest one: "first pass", "graph", "second pass" or "supervoxels"
  std::int64_t step_begin_s = 0;   ///< when it began, seconds since 1970
  std::int64_t blocks_before = 0;  ///< of its blocks, those that earlier starts did
  std::string result;              ///< file.h5:/path
  std::string supervoxels;         ///< likewise; "" where none are written
  double threshold = 0;
  std::string stages;  ///< JSON, as in the graph's file
  /// The passes; without blocks where an earlier start did them. The third one writes supervoxels.
  BlockRunReport first, second, third;
  double graph_s = 0;               ///< of the graph stage
  bool graph_was_done = false;      ///< by an earlier start
  std::string graph_digest;         ///< of the job that `sums` belong to; "": the graph is not done
  std::optional<double> cut;        ///< the threshold at which the tree of an earlier start was cut
  std::string choice, choice_text;  ///< of a threshold that is chosen: JSON, and a table; else empty
  GraphSums sums;

  /// A few lines: the passes' rates, and the numbers of fragments and objects.
  std::string text() const;
  nlohmann::json json() const;
};

/// The sums of a graph that an earlier start finished, from its record; none where the record is of another
/// job, or damaged.
std::optional<GraphSums> graph_sums_in(const nlohmann::json& record, const std::string& digest);

}  // namespace tessera
