#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/segment_config.h"
#include "pipeline/segment/tree_cut.h"
#include "workers/metrics/label_scores.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The scores of the objects at one threshold.
struct ThresholdScore {
  double threshold = 0;
  std::int64_t objects = 0;
  LabelScores scores;
  /// Of a choice by it only: V^Rand_thin, the mean of the sections.
  std::optional<double> rand_thin;
};

/// The threshold of a tree whose objects fit the labels best.
struct ChosenThreshold {
  ThresholdChoice by = ThresholdChoice::voi;
  std::string labels;  ///< file.h5:/path
  Sections sections;   ///< of the prediction
  double threshold = 0;
  std::vector<ThresholdScore> scores;  ///< of each threshold, falling

  /// A table of the scores, what was chosen, and that scores must be reported on other sections.
  std::string text() const;
  nlohmann::json json() const;
};

/// The voxels by which the threshold is chosen, in coordinates of the prediction. Opens prediction and
/// labels. Errors: UsageError where they share no voxel of these sections, where these are not in `region`,
/// and where they are too many to be thinned; Error.
Box scored_box(const SegmentConfig& config, const Box& region);

/// Collective. Scores the objects of each threshold of the tree, as a run that ends there would write them,
/// on the sections that config.choose_sections names. One pass over the blocks of these sections counts the
/// pairs of supervoxel and label; everything else follows from the counts. For V^Rand_thin the supervoxels of
/// these sections are kept, too. The same for any number of ranks. `graph`: on the root. Errors, on every
/// rank: UsageError where labels and prediction share no voxel, or no voxel has a label; Error.
ChosenThreshold choose_threshold(const SegmentJob& job, const StoredGraph* graph, const SegmentConfig& config,
                                 SegmentMode mode, const Communicator& world);

}  // namespace tessera
