#pragma once

#include <string>

#include "workers/mpi/communicator.h"

namespace tessera {

/// Starts MPI when a launcher (mpirun, srun) started this process, and does without otherwise: an MPI
/// program without a launcher would fork a daemon. Several tasks of srun without MPI are refused
/// (UsageError): they would be as many lone programs writing the same files. Ranks that do not reach each
/// other within two minutes (TESSERA_MEETING_SECONDS says otherwise) are an Error. Ends MPI on a quiet exit
/// only; while an exception unwinds, finalizing could hang, so end that with abort().
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

/// What this node calls itself; "?" when it cannot say.
std::string host_name();
/// This process among all of the job: "rank 2 on node7".
std::string place_name();

/// Whether this process was started by mpirun, srun or another launcher that MPI understands.
bool started_by_launcher();

}  // namespace tessera
