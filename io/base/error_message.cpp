#include "io/base/error_message.h"

#include <new>

namespace tessera {

std::string message_of(const std::exception& error) {
  static const std::string kAdvice =
      "lower the tile, the block or model.base_filters, or give each rank more memory";
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return "out of memory: " + kAdvice;
  std::string words = error.what();
  // LibTorch appends where in its own code an error arose.
  words = words.substr(0, words.find("\nException raised from"));
  const bool memory = words.find("can't allocate memory") != std::string::npos ||
                      words.find("out of memory") != std::string::npos;
  return memory && words.find(kAdvice) == std::string::npos ? words + " (" + kAdvice + ")" : words;
}

}  // namespace tessera
