#pragma once

#include "pipeline/commands/commands.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Collective. `tessera evaluate --graph`: prints the scores of every stage of a segmentation's merge tree.
/// Errors: UsageError for options that do not go with it; those of evaluate_graph().
int run_evaluate_graph(const OptionValues& values, const Communicator& world);

}  // namespace tessera
