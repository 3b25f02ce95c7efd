#pragma once

#include <mpi.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "workers/mpi/silence_watch.h"

namespace tessera {

/// Ends a job whose ranks would otherwise wait for ever: because a rank is stopped (SIGSTOP, a debugger), its
/// node hangs, or it does not come to where the others wait. A thread of each rank sends heartbeats, also
/// while the rank computes, reads or waits, so a rank that is slow is not silent. Rank 0 hears all others,
/// and they hear rank 0. Heartbeats tell for how long the sender has waited for others: so rank 0 notices a
/// rank that lives and does not come (SilenceLimit::standstill_s). After the limit a message names the rank,
/// its host, and what this rank waits for; MPI_Abort then ends every rank with exit code 1.
class RankWatch {
 public:
  /// Starts the thread, before MPI: the start of MPI waits for other ranks, too. Errors: Error when the
  /// thread cannot be started.
  RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;
  /// Does not wait for other ranks.
  ~RankWatch();

  /// Begins the heartbeats. `comm` has all ranks and is used by nobody else. `hosts`: of every rank.
  void connect(MPI_Comm comm, const std::vector<std::string>& hosts);
  /// Collective: waits for all ranks, watched by their heartbeats, then ends the heartbeats. To be called
  /// before MPI_Finalize.
  void disconnect();

  /// The limit of this process from now on. Every rank should set the same.
  static void set_limit(const SilenceLimit& limit);

 private:
  void run();
  void look();
  void exchange_heartbeats(double now_s);
  void check_blocking_call(const SilenceLimit& limit);
  [[noreturn]] void end_job(const std::string& why, const SilenceLimit& limit);

  // Guarded by lock_mpi().
  MPI_Comm comm_ = MPI_COMM_NULL;
  std::unique_ptr<SilenceWatch> watch_;
  std::vector<MPI_Request> sending_;  ///< of each heard rank
  std::vector<double> sent_waits_s_;  ///< what they send
  double sent_s_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  bool closed_ = false;
  std::string place_;    ///< of this process; "" before connect()
  std::jthread thread_;  ///< last: it ends before the other members
};

}  // namespace tessera
