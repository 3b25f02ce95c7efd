#pragma once

#include "pipeline/config/experiment.h"
#include "pipeline/infer/inference_network.h"
#include "pipeline/run/stop_signal.h"
#include "pipeline/run/wall_time.h"
#include "workers/device/device.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Parameters that all volumes of one start share.
struct InferenceStart {
  const InferenceNetwork& network;
  const Device& device;  ///< of this rank
  bool restart = false;  ///< replaces existing results
  const StopSignal& signal;
  const WallTime& wall_time;
};

/// Collective. Predicts the experiment's volume, or its remaining blocks. Errors: UsageError, StoppedEarly
/// and AgreedError on every rank; Error on the root alone when a worker is silent.
void predict_volume(const ExperimentConfig& config, const InferenceStart& start, const Communicator& world);

}  // namespace tessera
