#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/volume/block_journal.h"
#include "workers/mpi/communicator.h"
#include "workers/mpi/message.h"

namespace tessera {

/// A worker's report of a block that is done (fdatasync of its voxels has returned) or skipped.
struct BlockReport {
  std::int64_t id = 0;
  std::int64_t voxels = 0;  ///< 0 when skipped
  std::uint32_t crc = 0;    ///< CRC-32C of the block's voxels, row-major; 0 when skipped
  BlockOutcome outcome = BlockOutcome::done;
  std::vector<std::byte> payload = {};  ///< data from the task for the coordinator's owner; a few MiB at most
};

/// A worker's report of a block that failed.
struct BlockFailure {
  std::int64_t id = 0;
  bool whole_job =
      false;  ///< every other block would fail for the same reason (a full disk): the job must end
  std::string message;
};

/// A heartbeat, sent every pulse_interval_s().
struct WorkerPulse {
  std::int64_t voxels = 0;  ///< computed since the last heartbeat
  double still_s = 0;       ///< time without progress of any stage while there is work; 0 without work
};

/// The interval between the heartbeats of each of so many workers. It bounds the load that heartbeats put on
/// the coordinator.
double pulse_interval_s(int workers);

/// The host and device of a worker. Text is truncated to fit.
struct WorkerIdentity {
  std::array<char, 64> host{}, device{};
};
/// The identity of this process.
WorkerIdentity identity_of(const std::string& device);

/// A worker's final report. Seconds are times of the stages' threads.
struct WorkerStatistics {
  std::int64_t blocks = 0, skipped = 0, voxels = 0;
  double read_s = 0, compute_s = 0, write_s = 0;
  double wait_s = 0;  ///< of the computing thread: waits for a block to compute or for the writer
  double elapsed_s = 0;
  /// Time until the first `kStartBlocks` blocks were done, and their voxels. They are slower: memory is
  /// allocated during them. The later blocks give the worker's steady rate. 0: there were no later blocks.
  double start_s = 0;
  std::int64_t start_voxels = 0;
  static constexpr std::int64_t kStartBlocks = 4;  ///< more than are in flight within a worker
};

/// A worker's view of the coordinator.
class BlockExchange {
 public:
  virtual ~BlockExchange() = default;
  /// The next block assigned to this worker, if any.
  virtual std::optional<std::int64_t> poll() = 0;
  /// Whether no more blocks will be assigned.
  virtual bool finished() const = 0;
  virtual void report(const BlockReport& report) = 0;
  virtual void report(const BlockFailure& failure) = 0;
  /// Sends the pending reports. To be called before waiting.
  virtual void flush() = 0;
  virtual void pulse(const WorkerPulse& pulse) = 0;
  virtual double pulse_every_s() const { return pulse_interval_s(1); }
  /// `details`: BlockTask::details().
  virtual void leave(const WorkerStatistics& statistics, std::span<const std::byte> details) = 0;
};

/// The messages between worker and coordinator, by tag.
enum ExchangeTag : int {
  kTagAssign = 11,   ///< coordinator -> worker: block ids (std::int64_t), in the order of work; kNoMoreBlocks
                     ///< is the end
  kTagReport = 12,   ///< worker -> coordinator: bytes_of(BlockReports)
  kTagFailure = 13,  ///< worker -> coordinator: bytes_of(BlockFailure)
  kTagPulse = 14,    ///< worker -> coordinator: WorkerPulse
  kTagHello = 15,    ///< worker -> coordinator: WorkerIdentity, the first message
  kTagStatistics = 16,  ///< worker -> coordinator: bytes_of(WorkerStatistics, details), the last message
};
constexpr std::int64_t kNoMoreBlocks = -1;

/// Encoding and decoding of messages. Errors when decoding: Error when a message is too short.
std::vector<std::byte> bytes_of(const std::vector<BlockReport>& reports);
std::vector<BlockReport> reports_of(const Message& message);
std::vector<std::byte> bytes_of(const BlockFailure& failure);
BlockFailure failure_of(const Message& message);
std::vector<std::byte> bytes_of(const WorkerStatistics& statistics, std::span<const std::byte> details);
struct WorkerEnd {
  WorkerStatistics statistics;
  std::vector<std::byte> details;
};
WorkerEnd worker_end_of(const Message& message);

/// The exchange with rank 0 of `world` by MPI messages. All calls come from the thread that initialised MPI.
class MpiBlockExchange : public BlockExchange {
 public:
  /// Sends the hello message. `device`: a description for display.
  explicit MpiBlockExchange(const Communicator& world, const std::string& device = {});
  std::optional<std::int64_t> poll() override;
  bool finished() const override { return finished_ && assigned_.empty(); }
  void report(const BlockReport& report) override { unsent_.push_back(report); }
  void report(const BlockFailure& failure) override;
  void flush() override;
  void pulse(const WorkerPulse& pulse) override;
  double pulse_every_s() const override { return pulse_interval_s(world_.size() - 1); }
  void leave(const WorkerStatistics& statistics, std::span<const std::byte> details) override;

 private:
  const Communicator& world_;
  bool finished_ = false;
  std::deque<std::int64_t> assigned_;
  std::vector<BlockReport> unsent_;
};

}  // namespace tessera
