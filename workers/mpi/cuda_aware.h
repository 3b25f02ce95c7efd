#pragma once

#include <cstddef>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Throws UsageError unless this MPI reports that it accepts addresses in CUDA memory (Open MPI's
/// MPIX_Query_cuda_support).
void require_cuda_aware_mpi();

/// Collective: element-wise sums on every rank, in place. The values may be in CUDA memory if the MPI accepts
/// that; the device must have finished writing them. Errors: Error.
void sum_in_device_memory(const Communicator& workers, float* values, std::size_t count);

}  // namespace tessera
