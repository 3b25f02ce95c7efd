#pragma once

#include <string>

namespace tessera {

/// The place of a page of the documentation, such as docs/training.md: its path where the program is
/// installed with its documentation, else the name itself.
std::string documentation(const std::string& page);

}  // namespace tessera
