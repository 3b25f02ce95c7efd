#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace tessera {

/// Two sizes for one message, as bytes_text(); with as many digits as they need to differ, where they do:
/// "21.4 GiB" and "21.3 GiB" in place of "21 GiB" twice.
std::pair<std::string, std::string> bytes_pair(std::int64_t one, std::int64_t other);

}  // namespace tessera
