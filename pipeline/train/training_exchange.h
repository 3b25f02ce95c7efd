#pragma once

#include "pipeline/run/stop_signal.h"
#include "pipeline/train/training_recorder.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The messages between the coordinator (rank 0) and the lead worker (rank 1) of a training.
enum TrainingTag : int {
  kTagTrainingEvent = 21,  ///< lead worker -> coordinator: TrainingEvent
  kTagStopTraining = 22,   ///< worker with a signal -> coordinator -> every worker: empty
  kTagRowsWritten = 23,    ///< coordinator -> lead worker, in reply to `saving`: empty
};

/// On the coordinator beside workers: passes the lead worker's events to `recorder` until the training has
/// ended, and tells every worker once of a stop signal, its own or a worker's. Not collective.
void follow_training(const Communicator& world, TrainingRecorder& recorder, const StopSignal& signal);

/// On the lead worker: sends an event to the coordinator. Of a `saving` event it returns only when the
/// coordinator has written all rows.
void send_event(const Communicator& world, const TrainingEvent& event);

/// On a worker: whether the training is to stop, by a signal of any rank.
class StopNews {
 public:
  /// Both must outlive it.
  StopNews(const Communicator& world, const StopSignal& signal) : world_(world), signal_(signal) {}
  /// Cheap: looks for a message a hundred times per second at most. Once true, always true. The first time
  /// that this rank itself has the signal, the coordinator is told.
  bool asked();

 private:
  const Communicator& world_;
  const StopSignal& signal_;
  bool asked_ = false;
  double looked_s_ = 0;
};

}  // namespace tessera
