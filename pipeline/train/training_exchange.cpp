#include "pipeline/train/training_exchange.h"

#include "workers/mpi/message.h"

namespace tessera {

void follow_training(const Communicator& world, TrainingRecorder& recorder, const StopSignal& signal) {
  PoliteWait idle;
  bool forwarded = false;
  while (!recorder.ended()) {
    if (signal.asked() && !forwarded) {
      world.send(1, kTagStopTraining, {});
      forwarded = true;
    }
    if (const auto message = world.try_receive(kTagTrainingEvent)) {
      const auto event = value_of<TrainingEvent>(*message);
      recorder.hear(event);
      if (event.kind == TrainingEvent::saving) world.send(1, kTagRowsWritten, {});
      idle.reset();
    } else {
      idle.pause();
    }
  }
}

void send_event(const Communicator& world, const TrainingEvent& event) {
  send_value(world, 0, kTagTrainingEvent, event);
  PoliteWait waiting;
  while (event.kind == TrainingEvent::saving && !world.try_receive(kTagRowsWritten))
    waiting.pause();
}

bool received_stop(const Communicator& world) {
  return world.try_receive(kTagStopTraining).has_value();
}

}  // namespace tessera
