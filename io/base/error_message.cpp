#include "io/base/error_message.h"

#include <fmt/format.h>

#include <new>
#include <system_error>

namespace tessera {

std::string message_of(const std::exception& error) {
  static const std::string kAdvice =
      "lower the tile, the block or model.base_filters, or give each rank more memory";
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return "out of memory: " + kAdvice;
  // Of a thread that a library starts; start_thread() has its own message.
  const auto* of_system = dynamic_cast<const std::system_error*>(&error);
  if (of_system != nullptr && of_system->code() == std::errc::resource_unavailable_try_again)
    return fmt::format("cannot start a thread: {}. {}", of_system->code().message(), kThreadAdvice);
  std::string message = error.what();
  // LibTorch appends the position in its own source code.
  message = message.substr(0, message.find("\nException raised from"));
  const bool memory = message.find("can't allocate memory") != std::string::npos ||
                      message.find("out of memory") != std::string::npos;
  return memory && message.find(kAdvice) == std::string::npos ? message + " (" + kAdvice + ")" : message;
}

}  // namespace tessera
