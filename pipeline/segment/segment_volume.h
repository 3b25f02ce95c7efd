#pragma once

#include <optional>

#include "pipeline/config/experiment.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"
#include "workers/device/device.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Parameters of one start.
struct SegmentationStart {
  const Device& device;       ///< of this rank: a CPU
  bool restart = false;       ///< replaces an existing result
  bool update = false;        ///< replaces one that this experiment made by another job
  std::optional<double> cut;  ///< another threshold of the tree that an earlier start has made
  const StopSignal& signal;
  const WallTime& wall_time;
};

/// Collective. Segments the experiment's prediction, or goes on with it: the first pass over the blocks, the
/// merges of the whole graph, the second pass. A cut needs the second pass only; it replaces a result of the
/// same tree. Errors: UsageError, StoppedEarly and AgreedError on every
/// rank; Error on the root alone when a worker is silent.
void segment_volume(const ExperimentConfig& config, const SegmentationStart& start,
                    const Communicator& world);

}  // namespace tessera
