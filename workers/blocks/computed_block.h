#pragma once

#include <memory>
#include <utility>

#include "workers/blocks/block_task.h"

namespace tessera {

/// The return value of a BlockTask::compute() that has already computed the block.
struct ComputedBlock : BlockTask::Pending {
  explicit ComputedBlock(std::unique_ptr<BlockTask::Input> block) : result(std::move(block)) {}
  std::unique_ptr<BlockTask::Input> finish() override { return std::move(result); }

  std::unique_ptr<BlockTask::Input> result;
};

}  // namespace tessera
