#pragma once

#include <optional>

#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"
#include "workers/device/device.h"

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

}  // namespace tessera
