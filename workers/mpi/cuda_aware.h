#pragma once

#include <cstddef>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Throws UsageError unless this MPI says that it takes addresses in a CUDA device's memory (Open MPI's
/// MPIX_Query_cuda_support).
void require_cuda_aware_mpi();

/// Collective: element-wise sums on every rank, in place, of values that may lie in a CUDA device's memory
/// where the MPI takes that. The device must have finished with them. Errors: Error.
void sum_in_device_memory(const Communicator& workers, float* values, std::size_t count);

}  // namespace tessera
