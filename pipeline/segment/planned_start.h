#pragma once

#include "pipeline/config/experiment.h"
#include "pipeline/segment/segmentation_plan.h"
#include "pipeline/segment/segmentation_start.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// A start and its plan. The same on every rank, but for the rank's device.
struct PlannedStart {
  const ExperimentConfig& config;
  const SegmentationStart& start;
  const Communicator& world;
  SegmentConfig segment;  ///< of a cut: with the cut's thresholds
  SegmentationInputs inputs;
  SegmentationPlan plan;

  bool is_worker() const { return world.size() == 1 || !world.is_root(); }
};

/// Collective. Looks at the inputs and plans. A cut has the thresholds and the blocks of the run that it
/// equals. The arguments must outlive the result. Errors, on every rank: UsageError for inputs that cannot be
/// segmented, a tree that cannot be cut there, sections by which no threshold can be chosen, and too little
/// memory; Error.
PlannedStart plan_start(const ExperimentConfig& config, const SegmentationStart& start,
                        const Communicator& world);

/// On the root. Warns when the prediction looks like ids, and when the threshold is chosen on sections that
/// are scored.
void warn_of(const PlannedStart& planned);

}  // namespace tessera
