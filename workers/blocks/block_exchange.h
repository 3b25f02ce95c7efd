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

/// What a worker reports about a block that is done (its voxels are on the disk: fdatasync returned) or
/// skipped.
struct BlockReport {
  std::int64_t id = 0;
  std::int64_t voxels = 0;  ///< 0 when skipped
  std::uint32_t crc = 0;    ///< CRC-32C of the block's voxels, row-major; 0 when skipped
  BlockOutcome outcome = BlockOutcome::done;
  std::vector<std::byte> payload = {};  ///< what the task hands to the coordinator's owner; a few MiB at most
};

/// What a worker reports about a block that failed.
struct BlockFailure {
  std::int64_t id = 0;
  bool whole_job = false;  ///< every other block would meet the same (a full disk): the job is to end
  std::string words;
};

/// A sign of life, every pulse_interval_s().
struct WorkerPulse {
  std::int64_t voxels = 0;  ///< computed since the last pulse
  double still_s = 0;       ///< since when no stage has made progress, while there was work; 0 without work
};

/// How often each of so many workers sends a pulse: together no more than the coordinator hears beside its
/// other work.
double pulse_interval_s(int workers);

/// Where a worker is. Text is cut to fit.
struct WorkerIdentity {
  std::array<char, 64> host{}, device{};
};
/// Of this process.
WorkerIdentity identity_of(const std::string& device);

/// What a worker reports when it ends. Seconds are those of the stages' threads.
struct WorkerStatistics {
  std::int64_t blocks = 0, skipped = 0, voxels = 0;
  double read_s = 0, compute_s = 0, write_s = 0;
  double wait_s = 0;  ///< of the computing thread, for a block to compute or for the writer
  double elapsed_s = 0;
  /// Until the first `kStartBlocks` were done, and their voxels: memory is allocated, the first block is
  /// slower. The blocks after them show the rate at which the worker runs. 0: there were no more.
  double start_s = 0;
  std::int64_t start_voxels = 0;
  static constexpr std::int64_t kStartBlocks = 4;  ///< more than are in flight within a worker
};

/// A worker's view of the coordinator.
class BlockExchange {
 public:
  virtual ~BlockExchange() = default;
  /// A block newly handed to this worker, if there is one.
  virtual std::optional<std::int64_t> poll() = 0;
  /// Whether no more blocks will come.
  virtual bool finished() const = 0;
  virtual void report(const BlockReport& report) = 0;
  virtual void report(const BlockFailure& failure) = 0;
  /// Sends what was reported; to be called before waiting.
  virtual void flush() = 0;
  virtual void pulse(const WorkerPulse& pulse) = 0;
  virtual double pulse_every_s() const { return pulse_interval_s(1); }
  /// `details`: BlockTask::details().
  virtual void leave(const WorkerStatistics& statistics, std::span<const std::byte> details) = 0;
};

/// The messages between worker and coordinator, by tag.
enum ExchangeTag : int {
  kTagAssign =
      11,  ///< coordinator -> worker: block ids (std::int64_t) to do in this order; kNoMoreBlocks ends
  kTagReport = 12,      ///< worker -> coordinator: bytes_of(BlockReports)
  kTagFailure = 13,     ///< worker -> coordinator: bytes_of(BlockFailure)
  kTagPulse = 14,       ///< worker -> coordinator: WorkerPulse
  kTagHello = 15,       ///< worker -> coordinator: WorkerIdentity, the first message
  kTagStatistics = 16,  ///< worker -> coordinator: bytes_of(WorkerStatistics, details), the last message
};
constexpr std::int64_t kNoMoreBlocks = -1;

/// What messages hold, and back. Errors, of the way back: Error when a message is too short.
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

/// The exchange by MPI messages with rank 0 of `world`. All calls come from the thread that started MPI.
class MpiBlockExchange : public BlockExchange {
 public:
  /// Says hello. `device` is for people.
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
