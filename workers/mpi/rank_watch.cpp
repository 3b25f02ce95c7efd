#include "workers/mpi/rank_watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/base/log.h"
#include "io/base/thread_group.h"
#include "io/base/unexpected_exit.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

constexpr int kHeartbeat = 1;  ///< the tag of the messages: for how long the sender has waited, in seconds
constexpr double kLook_s = 0.1;
constexpr const char* kStopped = ": its process is stopped, or its node hangs.";
/// When the message cannot be printed or MPI_Abort does not return, SIGALRM ends the process after so long.
constexpr unsigned kLastResort_s = 60;

std::mutex limit_mutex;
SilenceLimit limit_of_process;  // NOLINT: guarded by limit_mutex

SilenceLimit current_limit() {
  const std::lock_guard lock(limit_mutex);
  return limit_of_process;
}

}  // namespace

void RankWatch::set_limit(const SilenceLimit& limit) {
  const std::lock_guard lock(limit_mutex);
  limit_of_process = limit;
}

RankWatch::RankWatch() : thread_(start_thread("to watch the other ranks", [this] { run(); })) {}

RankWatch::~RankWatch() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void RankWatch::connect(MPI_Comm comm, const std::vector<std::string>& hosts) {
  const std::unique_lock lock = lock_mpi();
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
  {
    const std::lock_guard own(mutex_);
    place_ = fmt::format("rank {} on {}", rank, hosts.at(static_cast<std::size_t>(rank)));
  }
  watch_ = std::make_unique<SilenceWatch>(rank, hosts, seconds_now());
  sending_.assign(watch_->heard_ranks().size(), MPI_REQUEST_NULL);
  sent_waits_s_.assign(sending_.size(), 0);
  comm_ = comm;
}

void RankWatch::disconnect() {
  MPI_Request request{};
  call_mpi("end together", [&] { return MPI_Ibarrier(comm_, &request); });
  const MpiWait waiting("end together");
  PoliteWait idle;
  for (int done = 0; done == 0; idle.pause())
    call_mpi("end together", [&] { return MPI_Test(&request, &done, MPI_STATUS_IGNORE); });
  // Every rank has come. Heartbeats that were sent are received, so that none is left for MPI_Finalize.
  const BlockingMpiCall last("end together");
  const MPI_Comm comm = std::exchange(comm_, MPI_COMM_NULL);
  check_mpi(MPI_Barrier(comm), "end together");
  for (int arrived = 1; arrived != 0;) {
    MPI_Status status{};
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kHeartbeat, comm, &arrived, &status), "end together");
    if (arrived != 0) {
      double waits_s = 0;
      check_mpi(MPI_Recv(&waits_s, 1, MPI_DOUBLE, status.MPI_SOURCE, kHeartbeat, comm, MPI_STATUS_IGNORE),
                "end together");
    }
  }
  for (MPI_Request& sent : sending_) {
    if (sent != MPI_REQUEST_NULL) MPI_Request_free(&sent);
  }
}

void RankWatch::run() {
  std::unique_lock lock(mutex_);
  while (!closed_) {
    changed_.wait_for(lock, std::chrono::duration<double>(kLook_s), [this] { return closed_; });
    lock.unlock();
    try {
      look();
    } catch (const std::bad_alloc&) {  // the next look tries again
    }
    lock.lock();
  }
}

void RankWatch::look() {
  const SilenceLimit limit = current_limit();
  check_blocking_call(limit);
  std::string silent, standstill;
  {
    const std::unique_lock lock = lock_mpi_within(kLook_s);
    if (!lock.owns_lock() || comm_ == MPI_COMM_NULL) return;
    exchange_heartbeats(seconds_now());
    if (limit.seconds > 0) silent = watch_->silent(limit.seconds, seconds_now());
    if (limit.standstill_s > 0) standstill = watch_->standstill(limit.standstill_s, MpiWait::longest_s());
  }
  if (!silent.empty()) end_job(silent + kStopped, limit);
  if (!standstill.empty())
    end_job(standstill + ": its device or file system hangs, or it computes too long.", limit);
}

/// The lock is held.
void RankWatch::exchange_heartbeats(double now_s) {
  for (;;) {
    int arrived = 0;
    MPI_Status status{};
    if (MPI_Iprobe(MPI_ANY_SOURCE, kHeartbeat, comm_, &arrived, &status) != MPI_SUCCESS || arrived == 0)
      break;
    double waits_s = 0;
    MPI_Recv(&waits_s, 1, MPI_DOUBLE, status.MPI_SOURCE, kHeartbeat, comm_, MPI_STATUS_IGNORE);
    watch_->heard(status.MPI_SOURCE, now_s, waits_s);
  }
  const auto& ranks = watch_->heard_ranks();
  int size = 0;
  MPI_Comm_size(comm_, &size);
  if (now_s - sent_s_ < SilenceWatch::interval_s(size)) return;
  sent_s_ = now_s;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    int done = 1;
    // A rank that is stopped receives nothing: its heartbeats do not pile up.
    if (sending_[i] != MPI_REQUEST_NULL) MPI_Test(&sending_[i], &done, MPI_STATUS_IGNORE);
    if (done == 0) continue;
    sent_waits_s_[i] = MpiWait::longest_s();
    MPI_Isend(&sent_waits_s_[i], 1, MPI_DOUBLE, ranks[i], kHeartbeat, comm_, &sending_[i]);
  }
}

void RankWatch::check_blocking_call(const SilenceLimit& limit) {
  const double elapsed_s = BlockingMpiCall::elapsed_s();
  if (limit.seconds <= 0 || elapsed_s <= limit.seconds + SilenceWatch::kLater_s) return;
  end_job("another rank did not come for " + silence_text(elapsed_s) + kStopped, limit);
}

void RankWatch::end_job(const std::string& why, const SilenceLimit& limit) {
  ::alarm(kLastResort_s);
  const char* waiting = MpiWait::current();
  std::string place = "This rank";
  {
    const std::lock_guard lock(mutex_);
    if (!place_.empty()) place = place_;
  }
  spdlog::error(
      "{}{} The job ends; start it again when the cause is "
      "gone{}",
      why, waiting != nullptr ? fmt::format(" {} waits to {}.", place, waiting) : "",
      limit.setting.empty() ? "" : fmt::format(" ({} sets the limit)", limit.setting));
  expect_exit();
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  const std::unique_lock lock = lock_mpi_within(1);  // without it where a blocking call never returns
  if (started != 0 && ended == 0) MPI_Abort(MPI_COMM_WORLD, kExitFailed);
  ::_exit(kExitFailed);
}

}  // namespace tessera
