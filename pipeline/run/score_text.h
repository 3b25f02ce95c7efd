#pragma once

#include <string>

namespace tessera {

/// "0.8125", of `digits` digits after the point; "undefined" for NaN. Right-aligned in `width` characters.
std::string score_text(double value, int digits, int width = 0);

/// score_text(), and for NaN the reason as well: "undefined (no membrane in the labels)". `reason`: may be
/// empty.
std::string undefined_or(double value, int digits, const std::string& reason);

}  // namespace tessera
