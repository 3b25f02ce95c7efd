#include "workers/segment/filled_holes.h"

#include <cstddef>
#include <span>

namespace tessera {
namespace {

enum Place : std::uint8_t { kForeground, kEnclosed, kOutside };

/// Marks the background that is connected with the marked places in `open`.
void spread(std::vector<Place>& places, std::vector<std::int64_t>& open, std::int64_t height,
            std::int64_t width, bool diagonal) {
  while (!open.empty()) {
    const std::int64_t at = open.back();
    open.pop_back();
    const std::int64_t y = at / width, x = at % width;
    for (std::int64_t dy = -1; dy <= 1; ++dy) {
      for (std::int64_t dx = -1; dx <= 1; ++dx) {
        if ((dy != 0 && dx != 0 && !diagonal) || y + dy < 0 || y + dy >= height || x + dx < 0 ||
            x + dx >= width)
          continue;
        const std::int64_t next = at + dy * width + dx;
        Place& there = places[static_cast<std::size_t>(next)];
        if (there != kEnclosed) continue;
        there = kOutside;
        open.push_back(next);
      }
    }
  }
}

}  // namespace

void fill_holes(std::vector<std::uint64_t>& values, const VoxelBuffer* mask, const Index3& sides,
                const ComponentOptions& options) {
  const std::int64_t pixels = sides.y * sides.x;
  std::vector<Place> places(static_cast<std::size_t>(pixels));
  std::vector<std::int64_t> open;
  const auto begin_outside = [&](std::int64_t at) {
    Place& place = places[static_cast<std::size_t>(at)];
    if (place != kEnclosed) return;
    place = kOutside;
    open.push_back(at);
  };
  for (std::int64_t z = 0; z < sides.z; ++z) {
    const std::span<std::uint64_t> section =
        std::span(values).subspan(static_cast<std::size_t>(z * pixels), static_cast<std::size_t>(pixels));
    for (std::size_t i = 0; i < section.size(); ++i)
      places[i] = section[i] != 0 ? kForeground : kEnclosed;
    for (std::int64_t y = 0; y < sides.y; ++y) {
      const bool whole_row = y == 0 || y == sides.y - 1;
      for (std::int64_t x = 0; x < sides.x; x += whole_row || sides.x < 2 ? 1 : sides.x - 1)
        begin_outside(y * sides.x + x);
    }
    if (mask != nullptr) {
      with_voxel_type(mask->type, [&](auto zero) {
        const auto inside =
            mask->as<decltype(zero)>().subspan(static_cast<std::size_t>(z * pixels), section.size());
        for (std::int64_t i = 0; i < pixels; ++i) {
          if (inside[static_cast<std::size_t>(i)] == decltype(zero){}) begin_outside(i);
        }
      });
    }
    spread(places, open, sides.y, sides.x, options.neighbours == 4);
    for (std::size_t i = 0; i < section.size(); ++i) {
      if (places[i] == kEnclosed) section[i] = 1;
    }
  }
}

}  // namespace tessera
