#pragma once

#include <mutex>

#include "workers/mpi/communicator.h"

namespace tessera {

/// MPI is started with MPI_THREAD_SERIALIZED: one thread of the process may call it at a time. Several do:
/// the main thread, GradientReducer's and RankWatch's. Each call is made under this lock, which belongs to
/// the process as MPI does. Only calls that return at once: a wait polls, and frees the lock in between.
std::unique_lock<std::mutex> lock_mpi();
/// The same, if the lock is free within `seconds`.
std::unique_lock<std::mutex> lock_mpi_within(double seconds);

/// Calls MPI under the lock. Errors: as check_mpi().
template <class Call>
void call_mpi(const char* what, const Call& call) {
  const std::unique_lock lock = lock_mpi();
  check_mpi(call(), what);
}

/// Names what a thread waits for while it lives, such as "sum over the ranks", for the message of RankWatch.
class MpiWait {
 public:
  explicit MpiWait(const char* what);
  MpiWait(const MpiWait&) = delete;
  MpiWait& operator=(const MpiWait&) = delete;
  ~MpiWait();
  /// What the thread that began to wait last waits for; null when no thread waits.
  static const char* current();
  /// The seconds for which a thread of this process has waited by now: the longest; 0 when no thread waits.
  static double longest_s();

 private:
  const char* what_;
  double begin_s_;
};

/// A scope with a call of MPI that returns only when other ranks have come, and that MPI offers in no other
/// form. It holds the lock: RankWatch cannot hear the other ranks meanwhile, and ends the job when the call
/// takes longer than the limit. Where possible, the ranks meet at a barrier first.
class BlockingMpiCall {
 public:
  explicit BlockingMpiCall(const char* what);
  BlockingMpiCall(const BlockingMpiCall&) = delete;
  BlockingMpiCall& operator=(const BlockingMpiCall&) = delete;
  ~BlockingMpiCall();
  /// The seconds since the call in progress has begun; 0 when there is none.
  static double elapsed_s();

 private:
  MpiWait wait_;
  std::unique_lock<std::mutex> lock_;
};

}  // namespace tessera
