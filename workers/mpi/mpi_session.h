#pragma once

#include <memory>
#include <string>

#include "workers/mpi/communicator.h"

namespace tessera {

class RankWatch;

/// Starts MPI if a launcher (mpirun, srun) started this process. Without a launcher it does not: MPI would
/// fork a daemon. Ends MPI on a normal exit only. While an exception unwinds, MPI_Finalize could hang; call
/// abort() then. Errors: UsageError for several tasks of srun without MPI, which would all write the same
/// files. Error if the ranks do not reach each other within two minutes (or TESSERA_MEETING_SECONDS). Under
/// MPI, a RankWatch ends the job when a rank is silent.
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
  std::unique_ptr<RankWatch> watch_;
};

/// The host name of this node, for messages and reports only: two nodes may have the same; "?" if unknown.
std::string host_name();
/// This process in messages: "rank 2 on node7".
std::string place_name();

/// Whether this process was started by mpirun, srun or another launcher that MPI understands.
bool started_by_launcher();

}  // namespace tessera
