#pragma once

#include <array>

namespace tessera {

/// Keys' cubic convolution kernel with a = -1/2, which reproduces quadratic images (R. Keys 1981). The
/// weights of the four neighbours of a place that lies at the fraction t, in [0, 1], between the second and
/// the third. `Real`: a number or a tensor.
template <class Real>
std::array<Real, 4> cubic_weights(const Real& t) {
  const Real t2 = t * t, t3 = t2 * t;
  return {-0.5 * t3 + t2 - 0.5 * t, 1.5 * t3 - 2.5 * t2 + 1, -1.5 * t3 + 2 * t2 + 0.5 * t,
          0.5 * t3 - 0.5 * t2};
}

/// The same as polynomials: the coefficients of t^3, t^2, t and 1 for each of the four neighbours.
constexpr std::array<std::array<float, 4>, 4> kCubicCoefficients{
    {{-0.5F, 1.5F, -1.5F, 0.5F}, {1, -2.5F, 2, -0.5F}, {-0.5F, 0, 0.5F, 0}, {0, 1, 0, 0}}};

}  // namespace tessera
