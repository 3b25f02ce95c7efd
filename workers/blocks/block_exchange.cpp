#include "workers/blocks/block_exchange.h"

#include <cstring>

#include "workers/mpi/mpi_session.h"

namespace tessera {

WorkerIdentity identity_of(const std::string& device) {
  WorkerIdentity identity;
  host_name().copy(identity.host.data(), identity.host.size() - 1);
  device.copy(identity.device.data(), identity.device.size() - 1);
  return identity;
}

double pulse_interval_s(int workers) {
  constexpr double kShortest_s = 0.5, kLongest_s = 10, kPulsesPerSecond = 1000;
  return std::clamp(workers / kPulsesPerSecond, kShortest_s, kLongest_s);
}

std::vector<std::byte> bytes_of(const BlockFailure& failure) {
  const std::array<std::int64_t, 2> front{failure.id, failure.whole_job ? 1 : 0};
  std::vector<std::byte> bytes(sizeof front + failure.words.size());
  std::memcpy(bytes.data(), front.data(), sizeof front);
  std::memcpy(bytes.data() + sizeof front, failure.words.data(), failure.words.size());
  return bytes;
}

BlockFailure failure_of(const Message& message) {
  const auto front = value_of<std::array<std::int64_t, 2>>(message);
  const std::size_t begin = std::min(sizeof front, message.bytes.size());
  return {
      front[0], front[1] != 0,
      std::string(reinterpret_cast<const char*>(message.bytes.data()) + begin, message.bytes.size() - begin)};
}

MpiBlockExchange::MpiBlockExchange(const Communicator& world, const std::string& device) : world_(world) {
  send_value(world_, 0, kTagHello, identity_of(device));
}

std::optional<std::int64_t> MpiBlockExchange::poll() {
  if (assigned_.empty() && !finished_) {
    if (const auto message = world_.try_receive(kTagAssign)) {
      for (const std::int64_t id : values_of<std::int64_t>(*message)) {
        if (id == kNoMoreBlocks) {
          finished_ = true;
        } else {
          assigned_.push_back(id);
        }
      }
    }
  }
  if (assigned_.empty()) return std::nullopt;
  const std::int64_t id = assigned_.front();
  assigned_.pop_front();
  return id;
}

void MpiBlockExchange::report(const BlockFailure& failure) {
  world_.send(0, kTagFailure, bytes_of(failure));
}

void MpiBlockExchange::flush() {
  if (unsent_.empty()) return;
  send_values(world_, 0, kTagReport, unsent_);
  unsent_.clear();
}

void MpiBlockExchange::pulse(const WorkerPulse& pulse) {
  send_value(world_, 0, kTagPulse, pulse);
}

void MpiBlockExchange::leave(const WorkerStatistics& statistics) {
  flush();
  send_value(world_, 0, kTagStatistics, statistics);
}

}  // namespace tessera
