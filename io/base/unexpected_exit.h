#pragma once

namespace tessera {

/// To be called once, by main(), after the log has started. Some libraries end the program by exit() where
/// they fail: OpenMP's runtime when a thread cannot be started. From now on, such an exit is reported with
/// what to try, and ends the process at once with exit code 1. Without this it could wait for ever for
/// threads of the process, in the destructors of static objects.
void report_unexpected_exits();

/// To be called before the program ends by exit() on purpose: before main() returns, or MPI_Abort.
void expect_exit();

}  // namespace tessera
