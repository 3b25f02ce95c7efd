#pragma once

namespace tessera {

/// Listens for SIGINT, SIGTERM and SIGUSR2 (Slurm's warning before a limit): the handlers only set a flag,
/// which the work looks at between blocks or iterations. A second SIGINT ends the process at once.
class StopSignal {
 public:
  StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  /// Whether a signal came.
  bool asked() const;
};

}  // namespace tessera
