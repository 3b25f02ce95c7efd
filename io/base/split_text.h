#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// The parts of a text between separators, as std::getline() reads them: an empty text has none, and nothing
/// follows a separator at the end. std::getline() ends without an error when memory runs out, so that the
/// rest of the text is lost. Errors: std::bad_alloc.
std::vector<std::string> split_text(std::string_view text, char separator);

}  // namespace tessera
