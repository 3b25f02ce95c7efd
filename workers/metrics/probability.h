#pragma once

#include <limits>
#include <type_traits>

namespace tessera {

/// The probability that a stored value stands for: a float is one, of an integer type the largest value is 1.
template <class T>
double probability_of(T value) {
  if constexpr (std::is_floating_point_v<T>)
    return value;
  else
    return value / static_cast<double>(std::numeric_limits<T>::max());
}

}  // namespace tessera
