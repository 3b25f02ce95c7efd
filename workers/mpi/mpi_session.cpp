#include "workers/mpi/mpi_session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <vector>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/log.h"
#include "io/base/unexpected_exit.h"
#include "workers/mpi/mpi_lock.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {
namespace {

constexpr std::size_t kHostBytes = 64;
constexpr int kArrived = 1;  ///< the tag of a message to rank 0

/// The user's limit of the start; 0: none is set.
double meeting_setting_s() {
  const char* setting = std::getenv("TESSERA_MEETING_SECONDS");
  return setting != nullptr ? std::max(0.0, std::strtod(setting, nullptr)) : 0;
}

/// The first messages between the ranks, with a time limit. MPI_Init succeeds even if the ranks cannot reach
/// each other (the launcher connects them), and the first message would then be waited for without end.
class Meeting {
 public:
  Meeting() {
    call_mpi("meet the other ranks", [&] {
      MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
      return MPI_Comm_size(MPI_COMM_WORLD, &size_);
    });
    if (const double seconds = meeting_setting_s(); seconds > 0) limit_s_ = seconds;
    arrivals_.assign(rank_ == 0 ? static_cast<std::size_t>(size_) - 1 : 1, MPI_REQUEST_NULL);
    call_mpi("meet the other ranks", [&] {
      if (rank_ != 0) return MPI_Isend(nullptr, 0, MPI_BYTE, 0, kArrived, MPI_COMM_WORLD, arrivals_.data());
      int status = MPI_SUCCESS;
      for (int other = 1; other < size_ && status == MPI_SUCCESS; ++other) {
        status = MPI_Irecv(nullptr, 0, MPI_BYTE, other, kArrived, MPI_COMM_WORLD,
                           &arrivals_[static_cast<std::size_t>(other) - 1]);
      }
      return status;
    });
  }

  /// Collective: the hosts of all ranks. Errors: Error after the limit.
  std::vector<std::string> hosts() {
    const std::string host = host_name();
    std::array<char, kHostBytes> mine{};
    host.copy(mine.data(), mine.size() - 1);
    std::vector<char> all(kHostBytes * static_cast<std::size_t>(size_));
    MPI_Request request{};
    // First: where the ranks do not reach each other, MPI_Test on a gathering may never return.
    call_mpi("meet the other ranks", [&] { return MPI_Ibarrier(MPI_COMM_WORLD, &request); });
    wait(request);
    call_mpi("meet the other ranks", [&] {
      return MPI_Iallgather(mine.data(), kHostBytes, MPI_CHAR, all.data(), kHostBytes, MPI_CHAR,
                            MPI_COMM_WORLD, &request);
    });
    wait(request);
    std::vector<std::string> hosts;
    for (std::size_t at = 0; at < all.size(); at += kHostBytes)
      hosts.emplace_back(all.data() + at);
    return hosts;
  }

  /// Collective: another communicator of all ranks. Errors: Error after the limit.
  MPI_Comm communicator() {
    MPI_Comm copy = MPI_COMM_NULL;
    MPI_Request request{};
    call_mpi("meet the other ranks", [&] { return MPI_Comm_idup(MPI_COMM_WORLD, &copy, &request); });
    wait(request);
    const BlockingMpiCall call("meet the other ranks");  // short: all have arrived
    check_mpi(MPI_Waitall(static_cast<int>(arrivals_.size()), arrivals_.data(), MPI_STATUSES_IGNORE),
              "meet the other ranks");
    return copy;
  }

 private:
  void wait(MPI_Request& request) {
    const MpiWait waiting("meet the other ranks");
    PoliteWait idle;
    for (int done = 0;; idle.pause()) {
      {
        // Where every node has the same address, Open MPI connects to itself for ever, inside this call.
        const BlockingMpiCall call("meet the other ranks");
        check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "meet the other ranks");
      }
      if (done != 0) return;
      if (seconds_now() - begin_s_ > limit_s_) give_up();
    }
  }

  [[noreturn]] void give_up() {
    throw Error(fmt::format(
        "MPI started, but {} has not reached the other ranks within {:.0f} s{}: a process that is "
        "stopped, a network interface that leads to no other node (of containers or virtual "
        "machines), or a firewall? Name an interface that all nodes share, such as mpirun --mca "
        "btl_tcp_if_include eth0 (TESSERA_MEETING_SECONDS sets the limit)",
        place_name(), limit_s_, missing_text()));
  }

  /// " (nothing came from rank 2, rank 5)"; "" where that is not known.
  std::string missing_text() {
    std::string text;
    constexpr int kNamed = 8;
    int missing = 0;
    for (std::size_t i = 0; rank_ == 0 && i < arrivals_.size(); ++i) {
      int arrived = 1;
      call_mpi("meet the other ranks", [&] { return MPI_Test(&arrivals_[i], &arrived, MPI_STATUS_IGNORE); });
      if (arrived == 0 && ++missing <= kNamed)
        text += fmt::format("{}rank {}", text.empty() ? "" : ", ", i + 1);
    }
    if (missing > kNamed) text += fmt::format(" and {} more", missing - kNamed);
    return missing == 0 ? "" : fmt::format(" (nothing came from {})", text);
  }

  double begin_s_ = seconds_now(), limit_s_ = 120;
  int rank_ = 0, size_ = 1;
  std::vector<MPI_Request> arrivals_;
};

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

std::string place_name() {
  int started = 0, rank = 0;
  MPI_Initialized(&started);
  const std::unique_lock lock = lock_mpi();
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
  SilenceLimit starting;
  if (const double seconds = meeting_setting_s(); seconds > 0)
    starting = {seconds, "TESSERA_MEETING_SECONDS"};
  RankWatch::set_limit(starting);
  watch_ = std::make_unique<RankWatch>();
  int provided = 0;
  {
    // Serialized: GradientReducer and RankWatch call MPI from threads of their own, under lock_mpi().
    const BlockingMpiCall call("start MPI");
    if (MPI_Init_thread(&argc, &argv, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS ||
        provided < MPI_THREAD_FUNNELED) {
      throw Error("cannot start MPI with threads (MPI_THREAD_FUNNELED)");
    }
  }
  Meeting meeting;
  const std::vector<std::string> hosts = meeting.hosts();
  const MPI_Comm heartbeats = meeting.communicator();
  RankWatch::set_limit({});
  if (provided >= MPI_THREAD_SERIALIZED) {
    watch_->connect(heartbeats, hosts);
  } else {
    spdlog::warn("this MPI has no MPI_THREAD_SERIALIZED: ranks that are stopped are not noticed");
    watch_.reset();
  }
}

MpiSession::~MpiSession() {
  if (!with_mpi_ || std::uncaught_exceptions() > 0) return;
  try {
    if (watch_) watch_->disconnect();
    const BlockingMpiCall call("end MPI");
    MPI_Finalize();
  } catch (const std::exception& error) {
    spdlog::error("{}", message_of(error));
    abort(kExitFailed);
  }
}

Communicator MpiSession::world() const {
  return with_mpi_ ? Communicator(MPI_COMM_WORLD) : Communicator::alone();
}

void MpiSession::abort(int exit_code) const {
  expect_exit();
  const std::unique_lock lock = lock_mpi_within(1);  // without it where another thread is stuck in MPI
  if (with_mpi_) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

}  // namespace tessera
