#include "pipeline/run/score_text.h"

#include <fmt/format.h>

#include <cmath>

namespace tessera {

std::string score_text(double value, int digits, int width) {
  return fmt::format("{:>{}}", std::isnan(value) ? "undefined" : fmt::format("{:.{}f}", value, digits),
                     width);
}

}  // namespace tessera
