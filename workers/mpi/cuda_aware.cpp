#include "workers/mpi/cuda_aware.h"

#include <mpi.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include <algorithm>

#include "io/base/error.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {

void require_cuda_aware_mpi() {
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  if (MPIX_Query_cuda_support() == 1) return;
  throw UsageError(
      "train.cuda_aware_mpi is set, but this Open MPI was built without CUDA. Load one with CUDA, or set "
      "train.cuda_aware_mpi: false (gradients are then sent by NCCL or through host memory)");
#else
  throw UsageError(
      "train.cuda_aware_mpi is set, but the MPI that Tessera was built with does not tell whether it accepts "
      "CUDA memory (no mpi-ext.h with MPIX_Query_cuda_support). Set train.cuda_aware_mpi: false");
#endif
}

void sum_in_device_memory(const Communicator& workers, float* values, std::size_t count) {
  if (workers.size() == 1) return;
  // Blocking, because Open MPI's non-blocking collectives cannot sum in CUDA memory.
  const BlockingMpiCall call("sum the gradients in the devices' memory");
  constexpr std::size_t kPart = std::size_t{1} << 24;
  for (std::size_t first = 0; first < count; first += kPart) {
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, values + first, static_cast<int>(std::min(kPart, count - first)),
                            MPI_FLOAT, MPI_SUM, workers.handle()),
              "sum the gradients over the workers in the devices' memory");
  }
}

}  // namespace tessera
