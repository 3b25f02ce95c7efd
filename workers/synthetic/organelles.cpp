#include "workers/synthetic/organelles.h"

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

enum OrganelleStream : std::uint64_t {
  kMitochondrion = 200,
  kHost,
  kReticulum,
  kReticulumPlace,
  kVesicle,
  kVesiclePlace,
  kCrista
};

/// 0 below `low`, 1 above `high`, smooth between.
float smooth_step(float value, float low, float high) {
  const float t = std::clamp((value - low) / (high - low), 0.0F, 1.0F);
  return t * t * (3 - 2 * t);
}

float bell(float distance, float width) {
  const float t = distance / width;
  return std::exp(-t * t);
}

/// The pixels of the window within `reach` of (y, x).
template <class Paint>
void around(const SectionWindow& window, double y, double x, double reach, const Paint& paint) {
  const auto low = [](double at) { return static_cast<std::int64_t>(std::ceil(at)); };
  const auto high = [](double at) { return static_cast<std::int64_t>(std::floor(at)) + 1; };
  const std::int64_t y_end = std::min(high(y + reach), window.y + window.height);
  const std::int64_t x_end = std::min(high(x + reach), window.x + window.width);
  for (std::int64_t py = std::max(low(y - reach), window.y); py < y_end; ++py) {
    for (std::int64_t px = std::max(low(x - reach), window.x); px < x_end; ++px) {
      paint(static_cast<std::size_t>((py - window.y) * window.width + px - window.x),
            static_cast<float>(static_cast<double>(py) - y), static_cast<float>(static_cast<double>(px) - x));
    }
  }
}

/// Calls `visit(ky, kx)` for the lattice places whose points may reach into the window.
template <class Visit>
void lattice_places(const SectionWindow& window, double spacing, double reach, const Visit& visit) {
  const auto place = [&](double at) { return static_cast<std::int64_t>(std::floor(at / spacing)); };
  for (std::int64_t ky = place(static_cast<double>(window.y) - reach);
       ky <= place(static_cast<double>(window.y + window.height) + reach); ++ky) {
    for (std::int64_t kx = place(static_cast<double>(window.x) - reach);
         kx <= place(static_cast<double>(window.x + window.width) + reach); ++kx) {
      visit(ky, kx);
    }
  }
}

void paint_mitochondria(std::uint64_t seed, std::int64_t z, const SectionWindow& window,
                        const std::vector<CellPlace>& places, std::vector<float>& value) {
  constexpr double kSpacing = 84, kSections = 9, kReach = 42;
  const std::vector<float> bend = smooth_noise(seed, kCrista, window, static_cast<double>(z), 16, 2);
  const auto layer = static_cast<std::int64_t>(std::floor(static_cast<double>(z) / kSections));
  lattice_places(window, kSpacing, kReach, [&](std::int64_t ky, std::int64_t kx) {
    for (std::int64_t kz = layer - 1; kz <= layer + 1; ++kz) {
      const auto u = [&](std::uint64_t i) {
        return uniform_of(hash_of(seed, kMitochondrion + 1000 * (i + 1), kz, ky, kx));
      };
      if (u(0) > 0.75) continue;
      // An ellipsoid that lasts a few sections.
      const double half_sections = 2.5 + 4 * u(1);
      const double height =
          (static_cast<double>(z) - (static_cast<double>(kz) + u(2)) * kSections) / half_sections;
      if (std::abs(height) >= 1) continue;
      const double taper = std::sqrt(1 - height * height);
      const auto minor = static_cast<float>((8 + 8 * u(3)) * taper),
                 major = static_cast<float>((14 + 22 * u(4)) * taper);
      if (minor < 4) continue;
      const double angle = u(5) * std::acos(-1.0);
      const auto cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
      const double y = (static_cast<double>(ky) + u(6)) * kSpacing,
                   x = (static_cast<double>(kx) + u(7)) * kSpacing;
      const auto crista_period = static_cast<float>(5 + 4 * u(8));
      around(window, y, x, kReach, [&](std::size_t i, float dy, float dx) {
        const float along = dy * sine + dx * cosine, across = dy * cosine - dx * sine;
        const float radius = std::hypot(along / major, across / minor);
        // Pixels inside its outline, and inside its cell with a gap to the membrane.
        const float depth = std::min((1 - radius) * minor + 0.6F * bend[i], places[i].distance_px - 5.0F);
        if (depth < -1.5F) return;
        // It is drawn in some of the cells that it overlaps, not in all.
        if (uniform_of(hash_of(seed, kHost, static_cast<std::int64_t>(places[i].cell), ky * 4096 + kx, kz)) >
            0.75)
          return;
        const float inside = smooth_step(depth, 0, 3);
        const float crista = 0.5F + 0.5F * std::sin(6.2832F * along / crista_period + 1.6F * bend[i]);
        value[i] -= 72 * bell(depth - 0.8F, 1.5F) + inside * (20 + 42 * crista * crista);
      });
    }
  });
}

/// Cisternae: thin dark lines along the zero contours of a smooth field, in some places only.
void paint_reticulum(std::uint64_t seed, std::int64_t z, const SectionWindow& window,
                     const std::vector<CellPlace>& places, std::vector<float>& value) {
  const SectionWindow wide{window.y - 1, window.x - 1, window.height + 2, window.width + 2};
  const std::vector<float> field = smooth_noise(seed, kReticulum, wide, static_cast<double>(z), 34, 3);
  const std::vector<float> where = smooth_noise(seed, kReticulumPlace, window, static_cast<double>(z), 55, 4);
  const auto row = static_cast<std::size_t>(wide.width);
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (where[i] < 0.35F || places[i].distance_px < 4) continue;
    const std::size_t width = static_cast<std::size_t>(window.width);
    const std::size_t at = (i / width + 1) * row + i % width + 1;
    const float slope = std::hypot(field[at + row] - field[at - row], field[at + 1] - field[at - 1]) / 2;
    const float distance = std::abs(field[at]) / (slope + 0.02F);
    value[i] -= 74 * smooth_step(where[i], 0.35F, 0.75F) * smooth_step(places[i].distance_px, 4, 7) *
                bell(distance, 1.6F);
  }
}

/// Vesicles (dark rings with a light lumen), in clusters, and microtubules (dark dots).
void paint_vesicles(std::uint64_t seed, std::int64_t z, const SectionWindow& window,
                    const std::vector<CellPlace>& places, std::vector<float>& value) {
  constexpr double kSpacing = 13, kReach = 9;
  const std::vector<float> cluster = smooth_noise(seed, kVesiclePlace, window, static_cast<double>(z), 60, 4);
  lattice_places(window, kSpacing, kReach, [&](std::int64_t ky, std::int64_t kx) {
    const auto u = [&](std::uint64_t i) {
      return uniform_of(hash_of(seed, kVesicle + 1000 * (i + 1), z, ky, kx));
    };
    const double y = (static_cast<double>(ky) + u(0)) * kSpacing,
                 x = (static_cast<double>(kx) + u(1)) * kSpacing;
    const double kind = u(2);
    const auto radius = static_cast<float>(kind < 0.035 ? 5 + 3 * u(3) : 2.2 + 2 * u(3));
    const bool is_dot = kind > 0.75;
    const auto strength = static_cast<float>(40 + 40 * u(4));
    around(window, y, x, kReach, [&](std::size_t i, float dy, float dx) {
      const float present = is_dot || kind < 0.035 ? 1.0F : smooth_step(cluster[i], 0.1F, 0.7F);
      const float room = smooth_step(places[i].distance_px, 3, 5.5F);
      if (present * room <= 0) return;
      const float distance = std::hypot(dy, dx);
      if (is_dot) {
        value[i] -= room * strength * bell(distance, 1.7F);
      } else {
        value[i] -=
            room * present * (strength * bell(distance - radius, 1.2F) - 14 * bell(distance, radius * 0.5F));
      }
    });
  });
}

}  // namespace

void paint_organelles(std::uint64_t seed, std::int64_t z, const SectionWindow& window,
                      const std::vector<CellPlace>& places, std::vector<float>& value) {
  paint_vesicles(seed, z, window, places, value);
  paint_reticulum(seed, z, window, places, value);
  paint_mitochondria(seed, z, window, places, value);
}

}  // namespace tessera
