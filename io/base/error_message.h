#pragma once

#include <exception>
#include <string>

namespace tessera {

/// The words of an exception for a person: without a library's stack trace, and with advice when it says in
/// its own way that memory ran out (on the host or on a device).
std::string message_of(const std::exception& error);

}  // namespace tessera
