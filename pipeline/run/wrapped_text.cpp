#include "pipeline/run/wrapped_text.h"

#include <sstream>

namespace tessera {

std::vector<std::string> wrapped_lines(const std::string& text, std::size_t width, std::size_t first_width) {
  std::vector<std::string> lines{""};
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const std::size_t room = lines.size() == 1 ? first_width : width;
    if (lines.back().empty()) {
      lines.back() = word;
    } else if (lines.back().size() + 1 + word.size() <= room) {
      lines.back() += " " + word;
    } else {
      lines.push_back(word);
    }
  }
  return lines;
}

std::string wrapped(const std::string& text, std::size_t width, std::size_t indent) {
  const std::size_t room = width > indent ? width - indent : 1;
  std::string result;
  for (const std::string& line : wrapped_lines(text, room, room))
    result += std::string(indent, ' ') + line + "\n";
  return result;
}

}  // namespace tessera
