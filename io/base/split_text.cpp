#include "io/base/split_text.h"

#include <algorithm>

namespace tessera {

std::vector<std::string> split_text(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t size = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, size));
    text.remove_prefix(std::min(size + 1, text.size()));
  }
  return parts;
}

}  // namespace tessera
