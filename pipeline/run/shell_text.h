#pragma once

#include <string>
#include <vector>

namespace tessera {

/// The command as a line for a shell, with quotes where they are needed.
std::string shell_text(const std::vector<std::string>& command);

}  // namespace tessera
