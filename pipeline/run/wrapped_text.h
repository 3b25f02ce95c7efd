#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tessera {

/// The lines of a text, broken at spaces. The first has at most `first_width` characters, the others at most
/// `width`. A longer word has a line of its own.
std::vector<std::string> wrapped_lines(const std::string& text, std::size_t width, std::size_t first_width);

/// The text in lines of at most `width` characters, each after `indent` spaces and ended by a line break.
std::string wrapped(const std::string& text, std::size_t width, std::size_t indent);

}  // namespace tessera
