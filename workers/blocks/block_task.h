#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "io/base/error.h"
#include "workers/blocks/block_exchange.h"

namespace tessera {

/// The work of a worker on one block. run_block_worker() calls read(), compute() and write() from one thread
/// each. So one block is read while another is computed and a third is written. Each function handles one
/// block at a time. Their exceptions are reported as the block's failure. WholeJobError and UsageError end
/// the job; after any other error the coordinator may retry the block.
class BlockTask {
 public:
  virtual ~BlockTask() = default;

  /// A block between two stages.
  struct Input {
    virtual ~Input() = default;
  };
  /// A block that is being computed or is queued on a GPU.
  struct Pending {
    virtual ~Pending() = default;
    /// Whether finish() returns without waiting.
    virtual bool is_done() const { return true; }
    /// The input of write(). Called once.
    virtual std::unique_ptr<Input> finish() = 0;
  };
  /// To be called with the number of voxels computed since the last call. 0 signals progress without voxels.
  using Progress = std::function<void(std::int64_t voxels)>;

  /// Returns null when the block is skipped. HDF5 calls belong here, because they must stay on one thread.
  virtual std::unique_ptr<Input> read(std::int64_t block) = 0;
  /// `progress` must not be called after finish() of the returned object.
  virtual std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) = 0;
  /// When this returns, the block's result is on the disk or in the report's payload.
  virtual BlockReport write(std::unique_ptr<Input> input) = 0;

  /// Whether compute() returns before the block is computed. Then the next block is queued behind it.
  virtual bool queues() const { return false; }
  /// Called when compute() ran out of memory. True: the task works in smaller parts from now on, and the
  /// block is read and computed again. False: the job ends. Errors: the reason why the job ends.
  virtual bool retry_smaller(const OutOfMemory& /*error*/) { return false; }
  /// The task's own report when the worker leaves. The coordinator's owner interprets it.
  virtual std::vector<std::byte> details() const { return {}; }
};

}  // namespace tessera
