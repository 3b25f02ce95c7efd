#pragma once

namespace tessera {

/// Handles SIGINT, SIGTERM and SIGUSR2 (Slurm's warning before a limit). The handlers only set a flag, which
/// the program reads between blocks or iterations. A second SIGINT ends the process at once.
class StopSignal {
 public:
  /// Remembers SIGUSR2 from here on, for a StopSignal made later: a scheduler's warning never kills a program
  /// that still starts.
  static void remember_early_warnings();

  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  /// Whether a signal has arrived.
  bool asked() const;
};

}  // namespace tessera
