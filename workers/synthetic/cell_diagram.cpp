#include "workers/synthetic/cell_diagram.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace tessera {
namespace {

enum CellStream : std::uint64_t { kSeedPlace = 100, kGroupPlace, kFused, kWarpY, kWarpX };

constexpr double kSeedSections = 9;    ///< a seed's lattice spacing across sections
constexpr double kGroupSections = 14;  ///< the same for the fused cells
constexpr double kFusedShare = 0.62;   ///< of all seeds
constexpr std::int64_t kBlock = 16;    ///< pixels that share one list of candidate seeds
constexpr std::size_t kCandidates = 64;
constexpr float kFarPx = 20;  ///< the limit of distances

/// A seed relative to a section.
struct Seed {
  float y = 0, x = 0;
  float height = 0;  ///< signed, out of the section, in pixels
  float offset = 0;  ///< what the power distance adds to the distance in the section, squared pixels
  std::uint64_t cell = 0;
};

/// Packs a lattice place into an id > 0 that stays below 2^32 for volumes of ordinary size.
std::uint64_t id_of(std::int64_t kz, std::int64_t ky, std::int64_t kx, bool fused) {
  constexpr std::int64_t kBias = 64;
  const auto z = static_cast<std::uint64_t>(kz + kBias), y = static_cast<std::uint64_t>(ky + kBias),
             x = static_cast<std::uint64_t>(kx + kBias);
  return (((z << 11 | y) << 11 | x) << 1 | (fused ? 1U : 0U)) + 1;
}

struct Lattice {
  std::uint64_t seed, stream;
  double spacing_px, spacing_sections, weight_px2;

  /// The jittered point of a lattice place: in sections and pixels, and its weight.
  struct Point {
    double z, y, x, weight;
  };
  Point point(std::int64_t kz, std::int64_t ky, std::int64_t kx) const {
    const std::uint64_t h = hash_of(seed, stream, kz, ky, kx);
    const auto part = [&](int i) { return static_cast<double>((h >> (16 * i)) & 0xffffU) / 65536.0; };
    return {(static_cast<double>(kz) + part(0)) * spacing_sections,
            (static_cast<double>(ky) + part(1)) * spacing_px,
            (static_cast<double>(kx) + part(2)) * spacing_px, part(3) * weight_px2};
  }
  std::int64_t row_of(double y) const { return static_cast<std::int64_t>(std::floor(y / spacing_px)); }
  std::int64_t layer_of(double z) const {
    return static_cast<std::int64_t>(std::floor(z / spacing_sections));
  }
};

/// The id of the fused cell that a seed at (z, y, x) would belong to: the nearest point of the coarse
/// lattice.
std::uint64_t group_of(const Lattice& groups, double z, double y, double x) {
  const double px_per_section = groups.spacing_px / groups.spacing_sections;
  const std::int64_t kz = groups.layer_of(z), ky = groups.row_of(y), kx = groups.row_of(x);
  double nearest = std::numeric_limits<double>::max();
  std::uint64_t id = 0;
  for (std::int64_t dz = -1; dz <= 1; ++dz) {
    for (std::int64_t dy = -1; dy <= 1; ++dy) {
      for (std::int64_t dx = -1; dx <= 1; ++dx) {
        const auto p = groups.point(kz + dz, ky + dy, kx + dx);
        const double distance =
            std::pow((p.z - z) * px_per_section, 2) + std::pow(p.y - y, 2) + std::pow(p.x - x, 2) - p.weight;
        if (distance < nearest) {
          nearest = distance;
          id = id_of(kz + dz, ky + dy, kx + dx, true);
        }
      }
    }
  }
  return id;
}

/// All seeds whose lattice place lies in rows x columns, for section z.
std::vector<Seed> seeds_of(std::uint64_t seed, double cell_size_px, double z, const Lattice& lattice,
                           const SectionWindow& places) {
  const Lattice groups{seed, kGroupPlace, cell_size_px * 1.75, kGroupSections,
                       std::pow(cell_size_px * 0.5, 2)};
  const double px_per_section = lattice.spacing_px / lattice.spacing_sections;
  const std::int64_t layer = lattice.layer_of(z);
  std::vector<Seed> seeds;
  for (std::int64_t ky = places.y; ky < places.y + places.height; ++ky) {
    for (std::int64_t kx = places.x; kx < places.x + places.width; ++kx) {
      for (std::int64_t kz = layer - 2; kz <= layer + 2; ++kz) {
        const auto p = lattice.point(kz, ky, kx);
        const bool fused = uniform_of(hash_of(seed, kFused, kz, ky, kx)) < kFusedShare;
        const double height = (p.z - z) * px_per_section;
        seeds.push_back({static_cast<float>(p.y), static_cast<float>(p.x), static_cast<float>(height),
                         static_cast<float>(height * height - p.weight),
                         fused ? group_of(groups, p.z, p.y, p.x) : id_of(kz, ky, kx, false)});
      }
    }
  }
  return seeds;
}

float power_distance(const Seed& seed, float y, float x) {
  return (seed.y - y) * (seed.y - y) + (seed.x - x) * (seed.x - x) + seed.offset;
}

/// The distance from a pixel to the surface between two seeds, along the section.
float bisector_distance(const Seed& own, const Seed& other, float own_power, float other_power) {
  return (other_power - own_power) / (2 * std::hypot(other.y - own.y, other.x - own.x) + 1e-3F);
}

/// `gradient`: how displaced coordinates change per pixel, {dY/dy, dY/dx, dX/dy, dX/dx}.
CellPlace place_among(const std::vector<Seed>& seeds, float y, float x, const float (&gradient)[4]) {
  std::array<float, kCandidates> power{};
  std::size_t nearest = 0;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    power[i] = power_distance(seeds[i], y, x);
    if (power[i] < power[nearest]) nearest = i;
  }
  const std::uint64_t cell = seeds[nearest].cell;
  // The cell ends where another seed has a smaller power distance than all seeds of the cell. So of each
  // other seed the farthest surface counts, and of these the nearest.
  float distance = kFarPx;
  const Seed *own = &seeds[nearest], *neighbour = nullptr;
  for (std::size_t other = 0; other < seeds.size(); ++other) {
    if (seeds[other].cell == cell) continue;
    float farthest = bisector_distance(seeds[nearest], seeds[other], power[nearest], power[other]);
    const Seed* at = &seeds[nearest];
    for (std::size_t i = 0; i < seeds.size() && farthest < distance; ++i) {
      if (seeds[i].cell != cell || power[i] >= power[other]) continue;
      const float reach = bisector_distance(seeds[i], seeds[other], power[i], power[other]);
      if (reach > farthest) {
        farthest = reach;
        at = &seeds[i];
      }
    }
    if (farthest >= distance) continue;
    distance = farthest;
    own = at;
    neighbour = &seeds[other];
  }
  if (neighbour == nullptr) return {cell, cell, kFarPx, 0};
  const float ny = neighbour->y - own->y, nx = neighbour->x - own->x;
  const float in_section = std::hypot(ny, nx) + 1e-3F;
  const float obliqueness = 1 - in_section / std::hypot(in_section, neighbour->height - own->height);
  // From displaced coordinates back to pixels. The membrane of an oblique surface appears up to twice as
  // wide.
  const float stretch =
      std::hypot(gradient[0] * ny + gradient[2] * nx, gradient[1] * ny + gradient[3] * nx) / in_section;
  return {cell, neighbour->cell, distance / std::clamp(stretch, 0.3F, 3.0F) / (1 + obliqueness), obliqueness};
}

/// If the distance passes 0 between neighbouring pixels of two cells, both get the distance 0.
void part_touching_cells(std::vector<CellPlace>& places, const SectionWindow& window) {
  const auto part = [](CellPlace& a, CellPlace& b) {
    if (a.cell == b.cell) return;
    a.distance_px = std::min(a.distance_px, 0.7F);
    b.distance_px = std::min(b.distance_px, 0.7F);
  };
  for (std::int64_t y = 0; y < window.height; ++y) {
    CellPlace* row = places.data() + y * window.width;
    for (std::int64_t x = 0; x + 1 < window.width; ++x)
      part(row[x], row[x + 1]);
    if (y + 1 == window.height) break;
    for (std::int64_t x = 0; x < window.width; ++x)
      part(row[x], row[x + window.width]);
  }
}

}  // namespace

CellDiagram::CellDiagram(std::uint64_t seed, double cell_size_px, std::int64_t z,
                         const SectionWindow& window) {
  const Lattice lattice{seed, kSeedPlace, cell_size_px * 0.72, kSeedSections,
                        std::pow(cell_size_px * 0.3, 2)};
  const auto at_z = static_cast<double>(z);
  // Blocks are aligned in the volume, so that a pixel's candidates do not depend on the window.
  const auto block_begin = [](std::int64_t at) { return at - ((at % kBlock) + kBlock) % kBlock; };
  // Displaced coordinates of whole blocks, with one more pixel all around for their gradients.
  const std::int64_t wide_y = block_begin(window.y) - 1, wide_x = block_begin(window.x) - 1;
  const SectionWindow wide{wide_y, wide_x, block_begin(window.y + window.height - 1) + kBlock + 1 - wide_y,
                           block_begin(window.x + window.width - 1) + kBlock + 1 - wide_x};
  const auto displaced = [&](std::uint64_t stream, bool vertical) {
    std::vector<float> sum = smooth_noise(seed, stream, wide, at_z, cell_size_px * 5, 16);
    const std::vector<float> middle = smooth_noise(seed, stream + 10, wide, at_z, cell_size_px * 1.8, 9);
    const std::vector<float> fine = smooth_noise(seed, stream + 20, wide, at_z, cell_size_px * 0.6, 4);
    const auto size = static_cast<float>(cell_size_px);
    for (std::size_t i = 0; i < sum.size(); ++i) {
      const auto pixel = static_cast<std::int64_t>(i);
      const auto own =
          static_cast<float>(vertical ? wide.y + pixel / wide.width : wide.x + pixel % wide.width);
      sum[i] = own + size * (0.5F * sum[i] + 0.19F * middle[i] + 0.055F * fine[i]);
    }
    return sum;
  };
  const std::vector<float> ys = displaced(kWarpY, true), xs = displaced(kWarpX + 40, false);

  const auto [y_low, y_high] = std::minmax_element(ys.begin(), ys.end());
  const auto [x_low, x_high] = std::minmax_element(xs.begin(), xs.end());
  constexpr std::int64_t kReach = 3;  // lattice places around a pixel that may matter
  const std::int64_t row0 = lattice.row_of(*y_low) - kReach, column0 = lattice.row_of(*x_low) - kReach;
  const SectionWindow lattice_window{row0, column0, lattice.row_of(*y_high) + kReach + 1 - row0,
                                     lattice.row_of(*x_high) + kReach + 1 - column0};
  const std::vector<Seed> seeds = seeds_of(seed, cell_size_px, at_z, lattice, lattice_window);
  const auto seeds_per_place =
      static_cast<std::int64_t>(seeds.size()) / (lattice_window.height * lattice_window.width);

  places_.resize(static_cast<std::size_t>(window.height * window.width));
  std::vector<Seed> candidates;
  for (std::int64_t by = block_begin(window.y); by < window.y + window.height; by += kBlock) {
    for (std::int64_t bx = block_begin(window.x); bx < window.x + window.width; bx += kBlock) {
      const auto index = [&](std::int64_t y, std::int64_t x) {
        return static_cast<std::size_t>((y - wide.y) * wide.width + x - wide.x);
      };
      const std::size_t middle = index(by + kBlock / 2, bx + kBlock / 2);
      const float cy = ys[middle], cx = xs[middle];
      candidates.clear();
      for (std::int64_t ky = lattice.row_of(cy) - kReach; ky <= lattice.row_of(cy) + kReach; ++ky) {
        for (std::int64_t kx = lattice.row_of(cx) - kReach; kx <= lattice.row_of(cx) + kReach; ++kx) {
          const std::int64_t at = ((ky - row0) * lattice_window.width + kx - column0) * seeds_per_place;
          candidates.insert(candidates.end(), seeds.begin() + at, seeds.begin() + at + seeds_per_place);
        }
      }
      std::nth_element(candidates.begin(), candidates.begin() + kCandidates, candidates.end(),
                       [&](const Seed& a, const Seed& b) {
                         return power_distance(a, cy, cx) < power_distance(b, cy, cx);
                       });
      candidates.resize(kCandidates);
      for (std::int64_t y = std::max(by, window.y); y < std::min(by + kBlock, window.y + window.height);
           ++y) {
        for (std::int64_t x = std::max(bx, window.x); x < std::min(bx + kBlock, window.x + window.width);
             ++x) {
          const std::size_t i = index(y, x), row = static_cast<std::size_t>(wide.width);
          const float gradient[4] = {(ys[i + row] - ys[i - row]) / 2, (ys[i + 1] - ys[i - 1]) / 2,
                                     (xs[i + row] - xs[i - row]) / 2, (xs[i + 1] - xs[i - 1]) / 2};
          places_[static_cast<std::size_t>((y - window.y) * window.width + x - window.x)] =
              place_among(candidates, ys[i], xs[i], gradient);
        }
      }
    }
  }
  part_touching_cells(places_, window);
}

}  // namespace tessera
