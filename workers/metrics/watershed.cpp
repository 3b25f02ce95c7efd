#include "workers/metrics/watershed.h"

#include <algorithm>
#include <array>

#include "workers/metrics/ignored_class.h"

namespace tessera {
namespace {

// States of a pixel before it has a label. A queued pixel's distance is that of its wave, and pixels get
// labels in the order of the queue. So a labelled neighbour is never farther than the wave, and distances
// need not be stored.
constexpr std::int32_t kOutside = -3, kUnseen = -2, kQueued = -1, kDam = 0;

}  // namespace

Components thin(const Components& components, std::int64_t height, std::int64_t width,
                std::span<const std::uint8_t> truth) {
  Components thinned = components;
  if (components.labels.empty()) return thinned;
  if (components.count == 0) {
    thinned.count = 1;
    thinned.labels.assign(components.labels.size(), 1);
    return thinned;
  }
  // A frame of one pixel saves the border tests.
  const std::int64_t row = width + 2;
  std::vector<std::int32_t> label(static_cast<std::size_t>(row * (height + 2)), kOutside);
  const auto at = [&](std::int64_t pixel) -> std::int32_t& { return label[static_cast<std::size_t>(pixel)]; };
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const auto pixel = static_cast<std::size_t>(y * width + x);
      const std::int32_t component = components.labels[pixel];
      const bool ignored = !truth.empty() && truth[pixel] == kIgnoredClass;
      at((y + 1) * row + x + 1) = component != 0 ? component : ignored ? kOutside : kUnseen;
    }
  }
  const std::array<std::int64_t, 4> west_north_east_south{-1, -row, 1, row};
  std::vector<std::int64_t> queue;
  for (std::int64_t x = 1; x <= width; ++x) {
    for (std::int64_t pixel = row + x; pixel < row * (height + 1); pixel += row) {
      if (at(pixel) != kUnseen) continue;
      for (const std::int64_t step : west_north_east_south) {
        if (at(pixel + step) <= 0) continue;
        queue.push_back(pixel);
        break;
      }
    }
  }
  for (const std::int64_t pixel : queue)
    at(pixel) = kQueued;
  // A dam beside a pixel does not make it a dam: a basin beside it takes it. With dams alone it is one.
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const std::int64_t pixel = queue[next];
    for (const std::int64_t step : west_north_east_south) {
      const std::int64_t neighbour = pixel + step;
      std::int32_t& own = at(pixel);
      const std::int32_t other = at(neighbour);
      if (other == kUnseen) {
        at(neighbour) = kQueued;
        queue.push_back(neighbour);
      } else if (other > 0) {
        own = own == kQueued || own == other ? other : kDam;
      }
    }
  }
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      thinned.labels[static_cast<std::size_t>(y * width + x)] = std::max(at((y + 1) * row + x + 1), kDam);
    }
  }
  return thinned;
}

Components thinned_components(std::span<const std::uint8_t> mask, std::int64_t height, std::int64_t width) {
  return thin(label_components(mask, height, width), height, width);
}

}  // namespace tessera
