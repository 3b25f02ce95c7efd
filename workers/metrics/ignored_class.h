#pragma once

#include <cstdint>

namespace tessera {

/// Pixels of this class are in no sum, neither of the loss nor of a score. No network has so many classes.
constexpr std::uint8_t kIgnoredClass = 255;

}  // namespace tessera
