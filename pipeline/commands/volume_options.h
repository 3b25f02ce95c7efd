#pragma once

#include <string>
#include <vector>

#include "io/geometry/box.h"

namespace tessera {

/// "20,512,512" as (z, y, x). Errors: UsageError naming `option` unless these are three positive whole
/// numbers.
Index3 parse_shape(const std::string& text, const std::string& option);

/// "0,-40,12.5" as three numbers of nanometres. Errors: UsageError naming `option`.
std::vector<double> parse_offset_nm(const std::string& text, const std::string& option);

}  // namespace tessera
