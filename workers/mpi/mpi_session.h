#pragma once

#include "workers/mpi/communicator.h"

namespace tessera {

/// Starts MPI when a launcher (mpirun, srun) started this process, and does without otherwise: an MPI
/// program without a launcher would fork a daemon. Several tasks of srun without MPI are refused (UsageError):
/// they would be as many lone programs writing the same files. Ends MPI on a quiet exit only; while an exception
/// unwinds, finalizing could hang, so end that with abort().
class MpiSession {
 public:
  MpiSession(int& argc, char**& argv);
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  ~MpiSession();

  /// All ranks of the job; alone without a launcher.
  Communicator world() const;
  /// Ends every rank of the job with this exit code.
  [[noreturn]] void abort(int exit_code) const;

 private:
  bool with_mpi_ = false;
};

/// Whether this process was started by mpirun, srun or another launcher that MPI understands.
bool started_by_launcher();

}  // namespace tessera
