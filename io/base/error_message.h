#pragma once

#include <exception>
#include <string>

namespace tessera {

/// What to try when the system starts no more threads.
inline constexpr const char* kThreadAdvice =
    "Raise the limit of processes and threads (ulimit -u, or pids.max of the container), or use fewer "
    "threads "
    "and ranks on this node";

/// The message of an exception for the user: without a library's stack trace, and with advice when memory ran
/// out (on the host or on a device) or no thread could be started.
std::string message_of(const std::exception& error);

}  // namespace tessera
