#include "workers/synthetic/smooth_noise.h"

#include <array>
#include <cmath>

#include "workers/numbers/bit_mix.h"

namespace tessera {
namespace {

/// Weights of the uniform cubic B-spline at fraction t of a knot interval.
std::array<float, 4> spline_weights(double t) {
  const double s = 1 - t;
  return {static_cast<float>(s * s * s / 6), static_cast<float>((3 * t * t * t - 6 * t * t + 4) / 6),
          static_cast<float>((3 * s * s * s - 6 * s * s + 4) / 6), static_cast<float>(t * t * t / 6)};
}

/// The mean over t of the sum of squared weights is 151/315 per axis (the autocorrelation of the cubic
/// B-spline at 0), so two axes scale the standard deviation by that number.
constexpr float kPlaneGain = 315.0F / 151.0F;

}  // namespace

std::uint64_t hash_of(std::uint64_t seed, std::uint64_t stream, std::int64_t a, std::int64_t b,
                      std::int64_t c) {
  std::uint64_t h = mix_bits(seed + 0x9e3779b97f4a7c15ULL * (stream + 1));
  h = mix_bits(h + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(a));
  h = mix_bits(h + 0xd1b54a32d192ed03ULL * static_cast<std::uint64_t>(b));
  return mix_bits(h + 0x8cb92ba72f3d8dd7ULL * static_cast<std::uint64_t>(c));
}

double uniform_of(std::uint64_t hash) {
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

float normal_of(std::uint64_t hash) {
  const auto sum = static_cast<float>((hash & 0xffffU) + (hash >> 16 & 0xffffU) + (hash >> 32 & 0xffffU) +
                                      (hash >> 48 & 0xffffU));
  return (sum / 65536.0F - 2) * 1.7320508F;
}

std::vector<float> smooth_noise(std::uint64_t seed, std::uint64_t stream, const SectionWindow& window,
                                double z, double wavelength_px, double wavelength_sections) {
  // Knots every half wavelength; across sections two layers are blended so that the variance stays.
  const double step = wavelength_px / 2;
  const double layer = z / wavelength_sections;
  const auto below = static_cast<std::int64_t>(std::floor(layer));
  const double fraction = layer - std::floor(layer);
  const auto low = static_cast<float>(std::cos(fraction * std::acos(-1.0) / 2));
  const auto high = static_cast<float>(std::sin(fraction * std::acos(-1.0) / 2));
  const auto knot_of = [&](std::int64_t pixel) {
    return static_cast<std::int64_t>(std::floor(static_cast<double>(pixel) / step)) - 1;
  };
  const std::int64_t row0 = knot_of(window.y), rows = knot_of(window.y + window.height - 1) + 4 - row0;
  const std::int64_t column0 = knot_of(window.x),
                     columns = knot_of(window.x + window.width - 1) + 4 - column0;
  const auto width = static_cast<std::size_t>(window.width), height = static_cast<std::size_t>(window.height);

  std::vector<std::array<float, 4>> weights(width);
  std::vector<std::size_t> first(width);
  for (std::size_t x = 0; x < width; ++x) {
    const std::int64_t pixel = window.x + static_cast<std::int64_t>(x);
    const double at = static_cast<double>(pixel) / step;
    weights[x] = spline_weights(at - std::floor(at));
    first[x] = static_cast<std::size_t>(knot_of(pixel) - column0);
  }
  constexpr double kUnitVariance = 1.7320508075688772;  // a uniform value in (-sqrt 3, sqrt 3) has variance 1
  std::vector<float> knots(static_cast<std::size_t>(columns)), wide(static_cast<std::size_t>(rows) * width);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const auto value = [&](std::int64_t k) {
        return static_cast<float>(
            (2 * uniform_of(hash_of(seed, stream, k, row0 + row, column0 + column)) - 1) * kUnitVariance);
      };
      knots[static_cast<std::size_t>(column)] =
          low * value(below) + (high > 0 ? high * value(below + 1) : 0.0F);
    }
    float* out = wide.data() + static_cast<std::size_t>(row) * width;
    for (std::size_t x = 0; x < width; ++x) {
      const float* k = knots.data() + first[x];
      const auto& w = weights[x];
      out[x] = w[0] * k[0] + w[1] * k[1] + w[2] * k[2] + w[3] * k[3];
    }
  }
  std::vector<float> field(height * width);
  for (std::size_t y = 0; y < height; ++y) {
    const std::int64_t pixel = window.y + static_cast<std::int64_t>(y);
    const double at = static_cast<double>(pixel) / step;
    const std::array<float, 4> w = spline_weights(at - std::floor(at));
    const float* r0 = wide.data() + static_cast<std::size_t>(knot_of(pixel) - row0) * width;
    const float *r1 = r0 + width, *r2 = r1 + width, *r3 = r2 + width;
    float* out = field.data() + y * width;
    for (std::size_t x = 0; x < width; ++x) {
      out[x] = kPlaneGain * (w[0] * r0[x] + w[1] * r1[x] + w[2] * r2[x] + w[3] * r3[x]);
    }
  }
  return field;
}

}  // namespace tessera
