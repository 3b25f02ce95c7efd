#pragma once

#include <exception>
#include <string>

namespace tessera {

/// The message of an exception for the user: without a library's stack trace, and with advice when memory ran
/// out (on the host or on a device).
std::string message_of(const std::exception& error);

}  // namespace tessera
