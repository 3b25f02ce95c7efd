#pragma once

#include <cmath>
#include <limits>

namespace tessera {

/// The value of a score over nothing.
constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

/// part / whole; undefined for 0 / 0.
inline double ratio(double part, double whole) {
  return whole == 0 ? kUndefined : part / whole;
}

/// Whether score `a` is lower than `b`. An undefined score is lower than any other.
inline bool is_lower(double a, double b) {
  return std::isnan(a) ? !std::isnan(b) : a < b;
}

}  // namespace tessera
