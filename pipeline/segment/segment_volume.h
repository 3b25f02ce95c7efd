#pragma once

#include "pipeline/config/experiment.h"
#include "pipeline/segment/segmentation_start.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Collective. Segments the experiment's prediction, or goes on with it: the first pass over the blocks, the
/// merges of the whole graph, the second pass, and a third one where supervoxels are wanted. A cut needs the
/// second pass only; it replaces a result of the same tree, and leaves supervoxels as they are. Errors:
/// UsageError, StoppedEarly and AgreedError on every rank; Error on the root alone when a worker is silent.
void segment_volume(const ExperimentConfig& config, const SegmentationStart& start,
                    const Communicator& world);

}  // namespace tessera
