#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "workers/mpi/communicator.h"

namespace tessera {

/// What a worker says of a block whose voxels are on the disk (fdatasync returned).
struct BlockReport {
  std::int64_t id = 0;
  std::int64_t voxels = 0;
  std::uint32_t crc = 0;  ///< CRC-32C of the block's voxels, row-major
};

/// What a worker says when it ends.
struct WorkerStatistics {
  std::int64_t blocks = 0, voxels = 0, input_pixels = 0;
  std::int64_t chunks_read = 0;  ///< stored chunks of the raw volume read and decompressed
  double read_s = 0, predict_s = 0, write_s = 0, wait_s = 0, elapsed_s = 0;
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
  /// Tells how many voxels were predicted since the last call; may be called as often as one likes.
  virtual void progress(std::int64_t voxels) = 0;
  virtual void leave(const WorkerStatistics& statistics) = 0;
};

/// The messages between worker and coordinator, by tag.
enum ExchangeTag : int {
  kTagAssign = 11,      ///< coordinator -> worker: std::int64_t block id, or kNoMoreBlocks
  kTagReport = 12,      ///< worker -> coordinator: BlockReport
  kTagProgress = 13,    ///< worker -> coordinator: std::int64_t voxels
  kTagStatistics = 14,  ///< worker -> coordinator: WorkerStatistics, the last message
};
constexpr std::int64_t kNoMoreBlocks = -1;

/// The exchange by MPI messages with rank 0 of `world`.
class MpiBlockExchange : public BlockExchange {
 public:
  explicit MpiBlockExchange(const Communicator& world) : world_(world) {}
  std::optional<std::int64_t> poll() override;
  bool finished() const override { return finished_; }
  void report(const BlockReport& report) override;
  void progress(std::int64_t voxels) override;
  void leave(const WorkerStatistics& statistics) override;

 private:
  const Communicator& world_;
  bool finished_ = false;
  std::int64_t unsent_voxels_ = 0;
  double last_sent_s_ = 0;
};

/// Trivially copyable values as messages, and back. Ranks run the same program on the same architecture.
template <class T>
void send_value(const Communicator& world, int destination, int tag, const T& value) {
  world.send(destination, tag, std::as_bytes(std::span(&value, 1)));
}
template <class T>
T value_of(const Message& message) {
  T value{};
  std::copy_n(message.bytes.data(), std::min(message.bytes.size(), sizeof(T)),
              reinterpret_cast<std::byte*>(&value));
  return value;
}

}  // namespace tessera
