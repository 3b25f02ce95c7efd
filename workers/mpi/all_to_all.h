#pragma once

#include <cstddef>
#include <vector>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Collective: bytes from every rank to every rank. `sent[i]` goes to rank i; the result has at i what rank i
/// sent. Long messages are sent in rounds of at most `round_bytes` from each rank and to each rank. Errors:
/// Error when MPI fails.
std::vector<std::vector<std::byte>> all_to_all(const Communicator& world,
                                               std::vector<std::vector<std::byte>> sent,
                                               std::size_t round_bytes = std::size_t{1} << 29);

}  // namespace tessera
