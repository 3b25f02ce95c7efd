#pragma once

#include <string>
#include <vector>

namespace tessera {

/// Runs the stages of `tessera run` as programs of their own, one at a time. While it lives, SIGINT, SIGTERM,
/// SIGHUP and SIGUSR2 do not end this process. They ask the running stage to save its state and leave.
class StageProcess {
 public:
  StageProcess();
  ~StageProcess();
  StageProcess(const StageProcess&) = delete;
  StageProcess& operator=(const StageProcess&) = delete;

  /// Runs a program, which is looked up in PATH, to its end. It has this process's output and environment, no
  /// input, and a process group of its own, so that Ctrl-C in a terminal reaches this process alone. The
  /// first signal is passed on as SIGUSR2, which mpirun hands to all ranks: they save, and exit with code 75.
  /// The next one ends the program by SIGTERM; later, or when that does not help, by SIGKILL. When this
  /// process is killed, the program gets SIGUSR2. Returns its exit code, or 128 + the number of the signal
  /// that killed it. Errors: Error when it cannot be started.
  int run(const std::vector<std::string>& command) const;

  /// Whether a signal has arrived.
  static bool stop_asked();
};

}  // namespace tessera
