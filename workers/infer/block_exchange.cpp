#include "workers/infer/block_exchange.h"

#include "io/clock.h"

namespace tessera {

std::optional<std::int64_t> MpiBlockExchange::poll() {
  if (finished_) return std::nullopt;
  const auto message = world_.try_receive(kTagAssign);
  if (!message) return std::nullopt;
  const auto id = value_of<std::int64_t>(*message);
  if (id == kNoMoreBlocks) {
    finished_ = true;
    return std::nullopt;
  }
  return id;
}

void MpiBlockExchange::report(const BlockReport& report) { send_value(world_, 0, kTagReport, report); }

void MpiBlockExchange::progress(std::int64_t voxels) {
  constexpr double kEvery = 0.25;  // seconds: enough for a smooth bar, nothing for the coordinator
  unsent_voxels_ += voxels;
  const double now = seconds_now();
  if (now - last_sent_s_ < kEvery) return;
  send_value(world_, 0, kTagProgress, unsent_voxels_);
  unsent_voxels_ = 0;
  last_sent_s_ = now;
}

void MpiBlockExchange::leave(const WorkerStatistics& statistics) {
  if (unsent_voxels_ > 0) send_value(world_, 0, kTagProgress, unsent_voxels_);
  send_value(world_, 0, kTagStatistics, statistics);
}

}  // namespace tessera
