#include "pipeline/train/training_exchange.h"

#include <optional>
#include <utility>

#include "workers/mpi/message.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {

void follow_training(const Communicator& world, TrainingRecorder& recorder, const StopSignal& signal) {
  PoliteWait idle;
  bool forwarded = false;
  std::optional<MpiWait> waiting(std::in_place, "hear of the training");
  while (!recorder.ended()) {
    if (signal.asked() && !forwarded) {
      world.send(1, kTagStopTraining, {});
      forwarded = true;
    }
    if (const auto message = world.try_receive(kTagTrainingEvent)) {
      waiting.reset();
      const auto event = value_of<TrainingEvent>(*message);
      recorder.hear(event);
      if (event.kind == TrainingEvent::saving) world.send(1, kTagRowsWritten, {});
      idle.reset();
      waiting.emplace("hear of the training");
    } else {
      idle.pause();
    }
  }
}

void send_event(const Communicator& world, const TrainingEvent& event) {
  send_value(world, 0, kTagTrainingEvent, event);
  PoliteWait idle;
  const MpiWait waiting("know the rows of metrics.csv written");
  while (event.kind == TrainingEvent::saving && !world.try_receive(kTagRowsWritten))
    idle.pause();
}

bool received_stop(const Communicator& world) {
  return world.try_receive(kTagStopTraining).has_value();
}

}  // namespace tessera
