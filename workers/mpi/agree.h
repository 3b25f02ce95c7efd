#pragma once

#include <functional>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Collective. Runs `step` on every rank; when it throws on any, every rank throws the error of the lowest
/// failing rank (same kind, same words), so that all leave together and nobody waits.
void on_every_rank(const Communicator& world, const std::function<void()>& step);

/// Collective. Runs `step` on the root alone; when it throws there, every rank throws the same.
void on_root(const Communicator& world, const std::function<void()>& step);

}  // namespace tessera
