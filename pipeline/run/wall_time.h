#pragma once

#include <optional>

namespace tessera {

/// The time that a batch system leaves a job. The job script says when all must be saved, in TESSERA_DEADLINE
/// (seconds since 1970, UTC); without it there is no end.
class WallTime {
 public:
  /// Reads TESSERA_DEADLINE. Errors: UsageError when it is no number.
  WallTime();
  /// So many seconds from now; none: no end.
  explicit WallTime(std::optional<double> seconds_left);

  /// Whether work of so many seconds, should it take half as long again, would end in time.
  bool allows(double seconds) const;

 private:
  std::optional<double> end_s_;  ///< of seconds_now()
};

}  // namespace tessera
