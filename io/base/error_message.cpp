#include "io/base/error_message.h"

#include <new>

namespace tessera {

std::string message_of(const std::exception& error) {
  static const std::string kAdvice =
      "lower the tile, the block or model.base_filters, or give each rank more memory";
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return "out of memory: " + kAdvice;
  std::string message = error.what();
  // LibTorch appends the position in its own source code.
  message = message.substr(0, message.find("\nException raised from"));
  const bool memory = message.find("can't allocate memory") != std::string::npos ||
                      message.find("out of memory") != std::string::npos;
  return memory && message.find(kAdvice) == std::string::npos ? message + " (" + kAdvice + ")" : message;
}

}  // namespace tessera
