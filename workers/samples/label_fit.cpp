#include "workers/samples/label_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

constexpr std::size_t kMostSections = 16;
/// In deviations of the grey values.
constexpr double kFits = 0.5, kFitsNowhere = 0.1;
constexpr double kClearlyBetter = 2;
/// Pixels of each class, below which nothing is told.
constexpr double kLeastPixels = 1000;

const char* name_of_orientation(std::size_t orientation) {
  constexpr std::array kNames{"as they are",
                              "mirrored along x",
                              "mirrored along y",
                              "rotated by 180 degrees",
                              "with x and y exchanged",
                              "with x and y exchanged, then mirrored along x",
                              "with x and y exchanged, then mirrored along y",
                              "with x and y exchanged, then rotated by 180 degrees"};
  return kNames.at(orientation);
}

}  // namespace

double LabelFit::Contrast::value() const {
  if (std::min(count[0], count[1]) < kLeastPixels) return 0;
  return std::abs(sum[0] / count[0] - sum[1] / count[1]);
}

void LabelFit::add(std::span<const std::uint8_t> zero, std::span<const float> greys, std::int64_t height,
                   std::int64_t width) {
  if (sections_++ >= kMostSections) return;
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const double grey = greys[static_cast<std::size_t>(y * width + x)];
      if (!std::isfinite(grey)) continue;
      sum_ += grey;
      squares_ += grey * grey;
      count_ += 1;
      for (std::size_t i = 0; i < (height == width ? 8 : 4); ++i) {
        std::int64_t from_y = (i & 2) != 0 ? height - 1 - y : y, from_x = (i & 1) != 0 ? width - 1 - x : x;
        if ((i & 4) != 0) std::swap(from_y, from_x);
        const std::uint8_t side = zero[static_cast<std::size_t>(from_y * width + from_x)];
        if (side > 1) continue;
        contrasts_[i].sum[side] += grey;
        contrasts_[i].count[side] += 1;
      }
    }
  }
}

std::string LabelFit::doubt() const {
  const double mean = count_ > 0 ? sum_ / count_ : 0;
  const double deviation = count_ > 0 ? std::sqrt(std::max(0.0, squares_ / count_ - mean * mean)) : 0;
  std::array<double, 8> fits{};
  std::ranges::transform(contrasts_, fits.begin(),
                         [&](const Contrast& one) { return deviation > 0 ? one.value() / deviation : 0; });
  const double given = fits[0];
  if (std::min(contrasts_[0].count[0], contrasts_[0].count[1]) < kLeastPixels || deviation == 0) return {};
  const auto best = std::ranges::max_element(fits);
  if (*best >= kFits && *best > kClearlyBetter * given) {
    return fmt::format(
        "fit the raw volume clearly better {}: the mean grey values of class 0 and of the rest then differ "
        "by "
        "{:.2f} of the grey values' deviation, by {:.2f} as given. Look at both in a viewer, and turn the "
        "labels",
        name_of_orientation(static_cast<std::size_t>(best - fits.begin())), *best, given);
  }
  if (*best < kFitsNowhere) {
    return fmt::format(
        "do not seem to belong to the raw volume: the mean grey values of class 0 and of the rest differ by "
        "{:.2f} of the grey values' deviation. Look at both in a viewer: are they shifted, or of other "
        "sections?",
        given);
  }
  return {};
}

}  // namespace tessera
