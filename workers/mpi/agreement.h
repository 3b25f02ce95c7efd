#pragma once

#include <functional>

#include "io/base/error.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// An error that all ranks throw together, so that they can exit without MPI_Abort. UsageError and
/// StoppedEarly are of this kind, too. Any other error may concern one rank only, and ends the job by
/// MPI_Abort.
class AgreedError : public Error {
 public:
  using Error::Error;
};

/// Collective. Runs `step` on every rank. If it throws on any, every rank throws the error of the lowest
/// failing rank, with the same type and message, so that all exit together. If only some ranks fail, the
/// message names a rank and its node: for example if one node does not see a file.
void on_every_rank(const Communicator& world, const std::function<void()>& step);

/// Collective. Runs `step` on the root only. If it throws, every rank throws the same error.
void on_root(const Communicator& world, const std::function<void()>& step);

}  // namespace tessera
