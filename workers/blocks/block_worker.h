#pragma once

#include "workers/blocks/block_exchange.h"
#include "workers/blocks/block_task.h"

namespace tessera {

/// Does the blocks that the exchange hands out until it has no more. One thread reads, one computes, one
/// writes; at most one block waits between two of them. The calling thread, which must be the one that
/// started MPI, talks with the coordinator. A block that fails is reported, and the work continues. Errors:
/// what the exchange throws, after the stages have stopped.
WorkerStatistics run_block_worker(BlockTask& task, BlockExchange& exchange);

}  // namespace tessera
