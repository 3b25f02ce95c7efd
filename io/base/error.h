#pragma once

#include <stdexcept>
#include <string>

namespace tessera {

/// A failure outside the program's control. The message says what failed, where, why and what to try. Exit 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A device or the host ran out of memory.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// The request cannot be fulfilled (command line, config, inputs that do not fit each other). Exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// A failure that every other block of the job would have too, also when tried again: a full or read-only
/// disk, a missing input. Exit code 1.
class WholeJobError : public Error {
 public:
  using Error::Error;
};

/// A signal or the job's time limit stopped the run. Its state is saved: the next start continues. Exit code
/// 75.
class StoppedEarly : public Error {
 public:
  using Error::Error;
};

enum ExitCode : int { kExitDone = 0, kExitFailed = 1, kExitUsage = 2, kExitStopped = 75 };

/// The text of an errno value, such as "No space left on device".
std::string errno_text(int error_number);

}  // namespace tessera
