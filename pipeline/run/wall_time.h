#pragma once

#include <optional>

namespace tessera {

/// The time that a batch system leaves a job. The job script sets TESSERA_DEADLINE (seconds since 1970, UTC),
/// by which all must be saved; without it there is no limit.
class WallTime {
 public:
  /// Reads TESSERA_DEADLINE. Errors: UsageError when it is not a number.
  WallTime();
  /// `seconds_left` from now; none: no limit.
  explicit WallTime(std::optional<double> seconds_left);

  /// Whether work of `seconds` would end in time, with an allowance of half as much again.
  bool allows(double seconds) const;

 private:
  std::optional<double> end_s_;  ///< of seconds_now()
};

}  // namespace tessera
