#include "workers/blocks/block_exchange.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "io/base/error.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

/// The header of a report in a message; the payload follows it.
struct ReportHeader {
  std::int64_t id = 0, voxels = 0;
  std::uint32_t crc = 0;
  BlockOutcome outcome = BlockOutcome::done;
  std::uint64_t payload_bytes = 0;
};

/// The header of a failure in a message; the failure's message follows it.
struct FailureHeader {
  std::int64_t id = 0, whole_job = 0;
};

template <class Header>
void append(std::vector<std::byte>& bytes, const Header& front) {
  static_assert(std::is_trivially_copyable_v<Header>);
  const auto* begin = reinterpret_cast<const std::byte*>(&front);
  bytes.insert(bytes.end(), begin, begin + sizeof(Header));
}

/// Removes a value from the front of `bytes`. Errors: Error when there are too few bytes.
template <class Header>
Header take_front(std::span<const std::byte>& bytes) {
  static_assert(std::is_trivially_copyable_v<Header>);
  if (bytes.size() < sizeof(Header)) throw Error("a worker's message was cut short");
  Header front;
  std::memcpy(&front, bytes.data(), sizeof(Header));
  bytes = bytes.subspan(sizeof(Header));
  return front;
}

}  // namespace

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

std::vector<std::byte> bytes_of(const std::vector<BlockReport>& reports) {
  std::size_t size = 0;
  for (const BlockReport& report : reports)
    size += sizeof(ReportHeader) + report.payload.size();
  std::vector<std::byte> bytes;
  bytes.reserve(size);
  for (const BlockReport& report : reports) {
    append(bytes, ReportHeader{report.id, report.voxels, report.crc, report.outcome, report.payload.size()});
    bytes.insert(bytes.end(), report.payload.begin(), report.payload.end());
  }
  return bytes;
}

std::vector<BlockReport> reports_of(const Message& message) {
  std::vector<BlockReport> reports;
  reports.reserve(message.bytes.size() / sizeof(ReportHeader));
  for (std::span<const std::byte> rest(message.bytes); !rest.empty();) {
    const auto front = take_front<ReportHeader>(rest);
    if (front.payload_bytes > rest.size()) throw Error("a worker's report was cut short");
    const auto payload = rest.first(front.payload_bytes);
    reports.push_back({front.id, front.voxels, front.crc, front.outcome, {payload.begin(), payload.end()}});
    rest = rest.subspan(front.payload_bytes);
  }
  return reports;
}

std::vector<std::byte> bytes_of(const BlockFailure& failure) {
  return message_bytes(FailureHeader{failure.id, failure.whole_job ? 1 : 0},
                       std::as_bytes(std::span(failure.message)));
}

BlockFailure failure_of(const Message& message) {
  const auto [front, text] = header_and_rest<FailureHeader>(message);
  return {front.id, front.whole_job != 0,
          std::string(reinterpret_cast<const char*>(text.data()), text.size())};
}

std::vector<std::byte> bytes_of(const WorkerStatistics& statistics, std::span<const std::byte> details) {
  return message_bytes(statistics, details);
}

WorkerEnd worker_end_of(const Message& message) {
  const auto [statistics, details] = header_and_rest<WorkerStatistics>(message);
  return {statistics, {details.begin(), details.end()}};
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
  world_.send(0, kTagReport, bytes_of(unsent_));
  unsent_.clear();
}

void MpiBlockExchange::pulse(const WorkerPulse& pulse) {
  send_value(world_, 0, kTagPulse, pulse);
}

void MpiBlockExchange::leave(const WorkerStatistics& statistics, std::span<const std::byte> details) {
  flush();
  world_.send(0, kTagStatistics, bytes_of(statistics, details));
}

}  // namespace tessera
