#include "pipeline/train/training_exchange.h"

#include <optional>
#include <utility>

#include "io/base/clock.h"
#include "workers/mpi/message.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {

void follow_training(const Communicator& world, TrainingRecorder& recorder, const StopSignal& signal) {
  PoliteWait idle;
  bool stop = false, told = false;
  std::optional<MpiWait> waiting(std::in_place, "hear of the training");
  while (!recorder.ended()) {
    stop = stop || signal.asked() || world.try_receive(kTagStopTraining);
    if (stop && !told) {
      for (int worker = 1; worker < world.size(); ++worker)
        world.send(worker, kTagStopTraining, {});
      told = true;
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

bool StopNews::asked() {
  constexpr double kLook_s = 0.01;
  if (asked_) return true;
  if (signal_.asked()) {
    if (!world_.is_root()) world_.send(0, kTagStopTraining, {});
    return asked_ = true;
  }
  if (const double now_s = seconds_now(); world_.size() > 1 && now_s - looked_s_ >= kLook_s) {
    looked_s_ = now_s;
    asked_ = world_.try_receive(kTagStopTraining).has_value();
  }
  return asked_;
}

}  // namespace tessera
