#pragma once

#include <cstdint>
#include <vector>

namespace tessera {

/// A pseudo-random number that depends on its arguments only.
std::uint64_t hash_of(std::uint64_t seed, std::uint64_t stream, std::int64_t a, std::int64_t b,
                      std::int64_t c);

/// The hash as a number in [0, 1).
double uniform_of(std::uint64_t hash);

/// A number with mean 0 and standard deviation 1 from the four 16-bit parts of a hash.
float normal_of(std::uint64_t hash);

/// A rectangle of a section's pixels: rows [y, y + height), columns [x, x + width).
struct SectionWindow {
  std::int64_t y = 0, x = 0, height = 0, width = 0;
};

/// Smooth random values over a window of section `z`, row-major: mean 0, standard deviation about 1,
/// correlated over about `wavelength_px` in the section and `wavelength_sections` across sections. The value
/// at (z, y, x) does not depend on the window.
std::vector<float> smooth_noise(std::uint64_t seed, std::uint64_t stream, const SectionWindow& window,
                                double z, double wavelength_px, double wavelength_sections);

}  // namespace tessera
