#include "pipeline/run/score_text.h"

#include <fmt/format.h>

#include <cmath>

namespace tessera {

std::string score_text(double value, int digits, int width) {
  return fmt::format("{:>{}}", std::isnan(value) ? "undefined" : fmt::format("{:.{}f}", value, digits),
                     width);
}

std::string undefined_or(double value, int digits, const std::string& reason) {
  const std::string text = score_text(value, digits);
  return std::isnan(value) && !reason.empty() ? fmt::format("{} ({})", text, reason) : text;
}

}  // namespace tessera
