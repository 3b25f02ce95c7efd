#pragma once

#include <cmath>
#include <optional>

namespace tessera {

/// A float64 value as float32. None where float32 cannot hold it: a finite value beyond its range, or an id,
/// a whole number below 2^53 that would be rounded. Fractions are rounded.
inline std::optional<float> float32_of(double value) {
  const auto narrow = static_cast<float>(value);
  if (!std::isfinite(value) || static_cast<double>(narrow) == value) return narrow;
  const bool is_id = std::abs(value) < 0x1p53 && value == std::trunc(value);
  if (!std::isfinite(narrow) || is_id) return std::nullopt;
  return narrow;
}

}  // namespace tessera
