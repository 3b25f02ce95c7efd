#pragma once

#include <cstdint>
#include <memory>

#include "io/geometry/block_plan.h"
#include "io/hdf5/block_reader.h"
#include "io/volume/dataset_name.h"
#include "workers/blocks/block_task.h"

namespace tessera {

/// Reads blocks of a result, plain or packed, through HDF5's filters. Computes the CRC-32C of their voxels in
/// the stored type: the report's `crc`. The coordinator's owner compares it with the journal.
class VerifyTask : public BlockTask {
 public:
  /// `blocks`: the block plan with which the result was written. Errors: Error when the volume cannot be
  /// opened.
  VerifyTask(const DatasetName& volume, const BlockPlan& blocks) : reader_(volume), blocks_(blocks) {}

  std::unique_ptr<Input> read(std::int64_t block) override;
  std::unique_ptr<Pending> compute(std::unique_ptr<Input> input, const Progress& progress) override;
  BlockReport write(std::unique_ptr<Input> input) override;

 private:
  BlockReader reader_;
  BlockPlan blocks_;
};

/// The number of bytes that a VerifyTask read for a block, from its report's payload.
std::int64_t bytes_read_of(const BlockReport& report);

}  // namespace tessera
