#pragma once

#include <string>
#include <vector>

namespace tessera {

/// How long a rank may be silent before the job ends.
struct SilenceLimit {
  /// The range of a user's setting beside 0: some heartbeats, at least.
  static constexpr double kShortestMinutes = 0.02, kLongestMinutes = 100'000;
  static constexpr double kDefaultMinutes = 30;

  double seconds = 60 * kDefaultMinutes;  ///< 0: for ever
  std::string setting;  ///< the name of the user's setting of that limit, for the message; "" for none
  /// How long ranks may wait for one that sends heartbeats and does not come; 0: for ever.
  double standstill_s = 0;

  /// For verbs whose ranks compute together, so that each waits for the slowest one.
  static SilenceLimit of_collectives(double seconds, std::string setting);
};

/// "12 s", "30 min".
std::string silence_text(double seconds);

/// Decides which ranks have been silent for too long. Knows no MPI and no clock: times are given, in seconds
/// of a monotonic clock.
class SilenceWatch {
 public:
  /// Silence is reported so long after the limit: what names more than the rank (the Coordinator names the
  /// block) reports it before, and a machine that is overloaded for seconds ends no job.
  static constexpr double kLater_s = 5;

  /// Of this rank. Rank 0 hears every other rank; each of the others hears rank 0. `hosts`: of every rank.
  SilenceWatch(int rank, std::vector<std::string> hosts, double now_s);

  /// The ranks that this one hears.
  const std::vector<int>& heard_ranks() const { return heard_ranks_; }
  /// `waits_s`: for how long that rank has waited for others.
  void heard(int rank, double now_s, double waits_s = 0);
  /// To be called often, each time after what has arrived was heard. Returns a message, "rank 2 on node5 was
  /// not heard of for 12 s", when a rank has been silent for longer than the limit; else "". A gap between
  /// two calls means that this process itself was stopped: then nobody counts as silent. Of the ranks that
  /// hear rank 0, those with a low number report it first.
  std::string silent(double limit_s, double now_s);

  /// For rank 0, which itself has waited for `own_wait_s`. Returns a message when a rank has waited for
  /// longer than the limit, which names the ranks that do not wait: "rank 2 on node5 kept the others waiting
  /// for 120 min"; else "".
  std::string standstill(double limit_s, double own_wait_s) const;

  /// The interval between two heartbeats of a rank, for so many ranks: it bounds what rank 0 has to receive.
  static double interval_s(int ranks);

 private:
  std::string named(const std::vector<int>& ranks) const;

  int rank_;
  std::vector<std::string> hosts_;
  std::vector<int> heard_ranks_;
  std::vector<double> heard_s_;  ///< by rank
  std::vector<double> waits_s_;  ///< by rank
  double last_look_s_;
};

}  // namespace tessera
