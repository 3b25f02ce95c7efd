#include "pipeline/coordinator.h"

#include <utility>

namespace tessera {

Coordinator::Coordinator(const std::vector<std::int64_t>& order, CoordinatorHooks hooks)
    : waiting_(order.begin(), order.end()), hooks_(std::move(hooks)) {}

std::optional<std::int64_t> Coordinator::next() {
  if (waiting_.empty()) return std::nullopt;
  const std::int64_t id = waiting_.front();
  waiting_.pop_front();
  return id;
}

void Coordinator::block_done(const BlockReport& report) {
  ++blocks_done_;
  if (hooks_.block_done) hooks_.block_done(report);
}

void Coordinator::progress(std::int64_t voxels) {
  if (hooks_.progress) hooks_.progress(voxels);
}

void Coordinator::look_around() {
  if (stopped_ || !hooks_.should_stop || !hooks_.should_stop()) return;
  stopped_ = !waiting_.empty();
  waiting_.clear();
}

void serve_workers(const Communicator& world, Coordinator& coordinator) {
  const auto workers = static_cast<std::size_t>(world.size() - 1);
  std::vector<int> in_flight(workers, 0);
  std::vector<bool> dismissed(workers, false);
  const auto hand_to = [&](std::size_t worker) {
    if (const auto id = coordinator.next()) {
      send_value(world, static_cast<int>(worker) + 1, kTagAssign, *id);
      ++in_flight[worker];
    }
  };
  const auto hear_progress = [&] {
    bool heard = false;
    while (const auto message = world.try_receive(kTagProgress)) {
      coordinator.progress(value_of<std::int64_t>(*message));
      heard = true;
    }
    return heard;
  };
  for (std::size_t worker = 0; worker < workers; ++worker) hand_to(worker);
  PoliteWait idle;
  while (coordinator.statistics().size() < workers) {
    bool heard = false;
    while (const auto message = world.try_receive(kTagReport)) {
      const auto worker = static_cast<std::size_t>(message->source - 1);
      --in_flight[worker];
      coordinator.block_done(value_of<BlockReport>(*message));
      if (in_flight[worker] == 0) hand_to(worker);
      heard = true;
    }
    heard = hear_progress() || heard;
    while (const auto message = world.try_receive(kTagStatistics)) {
      coordinator.worker_left(value_of<WorkerStatistics>(*message));
      heard = true;
    }
    coordinator.look_around();
    for (std::size_t worker = 0; worker < workers; ++worker) {
      // A second block ahead only while there is one for everybody: the tail goes to whoever is free.
      if (in_flight[worker] < 2 && coordinator.left() >= static_cast<std::int64_t>(workers)) hand_to(worker);
      if (in_flight[worker] == 0 && coordinator.left() == 0 && !dismissed[worker]) {
        send_value(world, static_cast<int>(worker) + 1, kTagAssign, kNoMoreBlocks);
        dismissed[worker] = true;
      }
    }
    heard ? idle.reset() : idle.pause();
  }
  hear_progress();  // what a worker said just before it left
}

std::optional<std::int64_t> LocalBlockExchange::poll() {
  coordinator_.look_around();
  if (in_flight_ >= 2) return std::nullopt;
  const auto id = coordinator_.next();
  if (id) ++in_flight_;
  return id;
}

void LocalBlockExchange::report(const BlockReport& report) {
  --in_flight_;
  coordinator_.block_done(report);
}

void LocalBlockExchange::progress(std::int64_t voxels) {
  coordinator_.progress(voxels);
  coordinator_.look_around();
}

}  // namespace tessera
