#pragma once

#include <stdexcept>
#include <string>

namespace tessera {

/// What the world did wrong: the message says what failed, where, why, and what to try. Exit code 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The memory of a device or of the host ran out.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// What the user asked for cannot be done as asked (command line, config, unfitting inputs). Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// What every other block of a job would meet as well, now and when tried again: a full or read-only disk, an
/// input that is gone. Exit code 1.
class WholeJobError : public Error {
 public:
  using Error::Error;
};

/// A signal or the end of the job's time stopped the run, and its state is saved: starting it again goes on.
/// Exit code 75.
class StoppedEarly : public Error {
 public:
  using Error::Error;
};

enum ExitCode : int { kExitDone = 0, kExitFailed = 1, kExitUsage = 2, kExitStopped = 75 };

/// "No space left on device" and the like for an errno value.
std::string errno_text(int error_number);

}  // namespace tessera
