#pragma once

#include <string>

namespace tessera {

/// "0.8125", of `digits` digits after the point; "undefined" for NaN. Right-aligned in `width` characters.
std::string score_text(double value, int digits, int width = 0);

}  // namespace tessera
