#include "workers/mpi/mpi_session.h"

#include <cstdlib>
#include <exception>
#include <string_view>

#include "io/error.h"

namespace tessera {

bool started_by_launcher() {
  // Open MPI's mpirun and PMIx (srun --mpi=pmix), PMI-1/2 (srun, MPICH, Intel MPI).
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

MpiSession::MpiSession(int& argc, char**& argv) : with_mpi_(started_by_launcher()) {
  if (!with_mpi_) {
    const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
    if (tasks != nullptr && std::strtol(tasks, nullptr, 10) > 1) {
      throw UsageError("started by srun without MPI: every task would run alone; use srun --mpi=pmix");
    }
    return;
  }
  int provided = 0;
  // Serialized: a training hands MPI to a thread of its own while the network computes (GradientReducer).
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED) {
    throw Error("cannot start MPI with threads (MPI_THREAD_FUNNELED)");
  }
}

MpiSession::~MpiSession() {
  if (with_mpi_ && std::uncaught_exceptions() == 0) MPI_Finalize();
}

Communicator MpiSession::world() const {
  return with_mpi_ ? Communicator(MPI_COMM_WORLD) : Communicator::alone();
}

void MpiSession::abort(int exit_code) const {
  if (with_mpi_) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace tessera
