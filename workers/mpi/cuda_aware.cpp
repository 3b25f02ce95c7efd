#include "workers/mpi/cuda_aware.h"

#include <mpi.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include <algorithm>

#include "io/base/error.h"

namespace tessera {

void require_cuda_aware_mpi() {
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  if (MPIX_Query_cuda_support() == 1) return;
  throw UsageError(
      "train.cuda_aware_mpi was asked for, but this Open MPI was built without CUDA: load one that has it, "
      "or set "
      "train.cuda_aware_mpi: false (gradients then travel by NCCL, or through the host's memory)");
#else
  throw UsageError(
      "train.cuda_aware_mpi was asked for, but the MPI that Tessera was built with cannot say whether it "
      "takes CUDA "
      "memory (it has no mpi-ext.h with MPIX_Query_cuda_support): set train.cuda_aware_mpi: false");
#endif
}

void sum_in_device_memory(const Communicator& workers, float* values, std::size_t count) {
  if (workers.size() == 1) return;
  // Blocking: Open MPI's collectives that do not block cannot sum in a device's memory.
  constexpr std::size_t kPiece = std::size_t{1} << 24;
  for (std::size_t first = 0; first < count; first += kPiece) {
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, values + first, static_cast<int>(std::min(kPiece, count - first)),
                            MPI_FLOAT, MPI_SUM, workers.handle()),
              "sum the gradients over the workers in the devices' memory");
  }
}

}  // namespace tessera
