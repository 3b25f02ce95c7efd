#include "workers/mpi/mpi_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <exception>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/unexpected_exit.h"

namespace tessera {
namespace {

/// The ranks leave MPI_Init together, so the first messages arrive within seconds.
double meeting_limit_s() {
  const char* setting = std::getenv("TESSERA_MEETING_SECONDS");
  const double seconds = setting != nullptr ? std::strtod(setting, nullptr) : 0;
  return seconds > 0 ? seconds : 120;
}

/// Collective: a first barrier with a time limit. MPI_Init succeeds even if the ranks cannot reach each other
/// (the launcher connects them), and the first message would then be waited for without end.
void meet_all_ranks() {
  const double begin_s = seconds_now(), limit_s = meeting_limit_s();
  MPI_Request request{};
  check_mpi(MPI_Ibarrier(MPI_COMM_WORLD, &request), "meet the other ranks");
  PoliteWait waiting;
  for (int done = 0;;) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "meet the other ranks");
    if (done != 0) return;
    if (seconds_now() - begin_s > limit_s) {
      throw Error(
          fmt::format("MPI started, but {} has not reached the other ranks within {:.0f} s: a network "
                      "interface that leads to no other "
                      "node (of containers or virtual machines), or a firewall? Name one that all nodes "
                      "share, such as mpirun --mca "
                      "btl_tcp_if_include eth0 (TESSERA_MEETING_SECONDS sets the limit)",
                      place_name(), limit_s));
    }
    waiting.pause();
  }
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

std::string place_name() {
  int started = 0, rank = 0;
  MPI_Initialized(&started);
  if (started != 0) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return fmt::format("rank {} on {}", rank, host_name());
}

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
  // Serialized: during the backward pass, a training calls MPI from another thread (GradientReducer).
  if (MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS ||
      provided < MPI_THREAD_FUNNELED) {
    throw Error("cannot start MPI with threads (MPI_THREAD_FUNNELED)");
  }
  meet_all_ranks();
}

MpiSession::~MpiSession() {
  if (with_mpi_ && std::uncaught_exceptions() == 0) MPI_Finalize();
}

Communicator MpiSession::world() const {
  return with_mpi_ ? Communicator(MPI_COMM_WORLD) : Communicator::alone();
}

void MpiSession::abort(int exit_code) const {
  expect_exit();
  if (with_mpi_) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace tessera
