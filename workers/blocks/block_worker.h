#pragma once

#include "workers/blocks/block_exchange.h"
#include "workers/blocks/block_task.h"

namespace tessera {

/// Processes the blocks that the exchange assigns, until there are no more. One thread reads, one computes
/// and one writes; at most one block waits between two of them. The calling thread communicates with the
/// coordinator; it must be the thread that initialised MPI. A failed block is reported, and the work
/// continues. Errors: exceptions of the exchange, after the stages have stopped.
WorkerStatistics run_block_worker(BlockTask& task, BlockExchange& exchange);

}  // namespace tessera
