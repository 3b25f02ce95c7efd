#pragma once

#include "pipeline/run/stop_signal.h"
#include "pipeline/train/training_recorder.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The messages between the coordinator (rank 0) and the lead worker (rank 1) of a training.
enum TrainingTag : int {
  kTagTrainingEvent = 21,  ///< lead worker -> coordinator: TrainingEvent
  kTagStopTraining = 22,   ///< coordinator -> lead worker: empty
  kTagRowsWritten = 23,    ///< coordinator -> lead worker, in reply to `saving`: empty
};

/// On the coordinator beside workers: passes the lead worker's events to `recorder` until the training has
/// ended, and forwards a stop signal once. Not collective.
void follow_training(const Communicator& world, TrainingRecorder& recorder, const StopSignal& signal);

/// On the lead worker: sends an event to the coordinator. Of a `saving` event it returns only when the
/// coordinator has written all rows.
void send_event(const Communicator& world, const TrainingEvent& event);

/// On a worker: whether the coordinator has forwarded a stop signal since the last call.
bool received_stop(const Communicator& world);

}  // namespace tessera
