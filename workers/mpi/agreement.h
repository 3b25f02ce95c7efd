#pragma once

#include <functional>

#include "io/base/error.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// An error that every rank throws at the same place: all can leave quietly, nobody waits. An error that is
/// none of these (and no UsageError or StoppedEarly, which are the same everywhere by their nature) may be
/// one rank's alone and ends the job by MPI_Abort.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Collective. Runs `step` on every rank; when it throws on any, every rank throws the error of the lowest
/// failing rank (same kind, same words), so that all leave together and nobody waits. What only some ranks
/// meet is said with the rank and its node: a file that one node does not see, for example.
void on_every_rank(const Communicator& world, const std::function<void()>& step);

/// Collective. Runs `step` on the root alone; when it throws there, every rank throws the same.
void on_root(const Communicator& world, const std::function<void()>& step);

}  // namespace tessera
