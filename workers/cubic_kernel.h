#pragma once

#include <array>

namespace tessera {

/// Keys' cubic convolution kernel with a = -1/2, the one that reproduces quadratic images (R. Keys 1981), for
/// the four neighbours of a place at the fraction t, in [0, 1], behind the second. `Real`: a number or a
/// tensor of numbers.
template <class Real>
std::array<Real, 4> cubic_weights(const Real& t) {
  const Real t2 = t * t, t3 = t2 * t;
  return {-0.5 * t3 + t2 - 0.5 * t, 1.5 * t3 - 2.5 * t2 + 1, -1.5 * t3 + 2 * t2 + 0.5 * t,
          0.5 * t3 - 0.5 * t2};
}

}  // namespace tessera
