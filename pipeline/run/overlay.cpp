#include "pipeline/run/overlay.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "workers/metrics/ignored_class.h"

namespace tessera {
namespace {

constexpr std::int64_t kGap = 6, kLargestSide = 1024;

std::uint8_t mixed(std::uint8_t grey, std::uint8_t colour, double share) {
  return static_cast<std::uint8_t>(std::lround(grey * (1 - share) + colour * share));
}

RgbImage grey_image(std::span<const std::uint8_t> grey, std::int64_t height, std::int64_t width) {
  RgbImage image{height, width, {}};
  image.pixels.reserve(grey.size() * 3);
  for (const std::uint8_t value : grey)
    image.pixels.insert(image.pixels.end(), 3, value);
  return image;
}

/// Means over squares of `factor`; those at the right and lower edge may be cut.
RgbImage scaled_down(const RgbImage& image, std::int64_t factor) {
  if (factor == 1) return image;
  RgbImage small{(image.height + factor - 1) / factor, (image.width + factor - 1) / factor, {}};
  small.pixels.resize(static_cast<std::size_t>(small.height * small.width * 3));
  auto out = small.pixels.begin();
  for (std::int64_t y = 0; y < small.height; ++y) {
    const std::int64_t bottom = std::min((y + 1) * factor, image.height);
    for (std::int64_t x = 0; x < small.width; ++x) {
      const std::int64_t right = std::min((x + 1) * factor, image.width);
      std::array<std::int64_t, 3> sum{};
      for (std::int64_t row = y * factor; row < bottom; ++row) {
        for (std::int64_t column = x * factor; column < right; ++column) {
          for (std::size_t c = 0; c < 3; ++c) {
            sum[c] += image.pixels[static_cast<std::size_t>(row * image.width + column) * 3 + c];
          }
        }
      }
      const std::int64_t count = (bottom - y * factor) * (right - x * factor);
      for (const std::int64_t one : sum)
        *out++ = static_cast<std::uint8_t>((one + count / 2) / count);
    }
  }
  return small;
}

}  // namespace

std::vector<std::uint8_t> stretched_grey(std::span<const float> raw) {
  std::vector<float> finite;
  finite.reserve(raw.size());
  std::copy_if(raw.begin(), raw.end(), std::back_inserter(finite), [](float v) { return std::isfinite(v); });
  std::vector<std::uint8_t> grey(raw.size(), 0);
  if (finite.empty()) return grey;
  const auto percentile = [&](double share) {
    const auto at = static_cast<std::ptrdiff_t>(std::lround(share * static_cast<double>(finite.size() - 1)));
    std::nth_element(finite.begin(), finite.begin() + at, finite.end());
    return static_cast<double>(finite[static_cast<std::size_t>(at)]);
  };
  const double low = percentile(0.005), high = percentile(0.995);
  if (high <= low) return grey;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (!std::isfinite(raw[i])) continue;
    const double share = std::clamp((raw[i] - low) / (high - low), 0.0, 1.0);
    grey[i] = static_cast<std::uint8_t>(std::lround(255 * share));
  }
  return grey;
}

std::vector<OverlayClass> overlay_classes(std::span<const std::uint8_t> truth,
                                          std::span<const double> probability, double threshold) {
  assert(truth.size() == probability.size());
  std::vector<OverlayClass> classes(truth.size(), OverlayClass::none);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const bool predicted = probability[i] > threshold, interior = truth[i] != 0;
    if (truth[i] == kIgnoredClass)
      classes[i] = OverlayClass::ignored;
    else if (predicted != interior)
      classes[i] = predicted ? OverlayClass::lost_membrane : OverlayClass::false_membrane;
    else if (!interior)
      classes[i] = OverlayClass::right_membrane;
  }
  return classes;
}

std::vector<std::uint8_t> label_grey(std::span<const std::uint8_t> truth) {
  std::vector<std::uint8_t> grey(truth.size());
  std::transform(truth.begin(), truth.end(), grey.begin(), [](std::uint8_t v) -> std::uint8_t {
    return v == kIgnoredClass ? 128 : v != 0 ? 255 : 0;
  });
  return grey;
}

RgbImage error_overlay(std::span<const std::uint8_t> grey, std::span<const std::uint8_t> truth,
                       std::span<const double> probability, double threshold, std::int64_t height,
                       std::int64_t width) {
  assert(grey.size() == truth.size() && grey.size() == probability.size());
  RgbImage image = grey_image(grey, height, width);
  const std::vector<OverlayClass> classes = overlay_classes(truth, probability, threshold);
  for (std::size_t i = 0; i < grey.size(); ++i) {
    const OverlayColour& colour = kOverlayColours[static_cast<std::size_t>(classes[i])];
    if (colour.opacity == 0) continue;
    image.pixels[3 * i] = mixed(grey[i], colour.red, colour.opacity);
    image.pixels[3 * i + 1] = mixed(grey[i], colour.green, colour.opacity);
    image.pixels[3 * i + 2] = mixed(grey[i], colour.blue, colour.opacity);
  }
  return image;
}

std::array<RgbImage, 3> section_panels(std::span<const float> raw, std::span<const std::uint8_t> truth,
                                       std::span<const double> probability, double threshold,
                                       std::int64_t height, std::int64_t width) {
  const std::vector<std::uint8_t> grey = stretched_grey(raw);
  const std::vector<std::uint8_t> label = label_grey(truth);
  const std::int64_t factor = (std::max(height, width) + kLargestSide - 1) / kLargestSide;
  return {scaled_down(grey_image(grey, height, width), factor),
          scaled_down(grey_image(label, height, width), factor),
          scaled_down(error_overlay(grey, truth, probability, threshold, height, width), factor)};
}

RgbImage side_by_side(std::span<const RgbImage> images) {
  RgbImage picture;
  for (const RgbImage& one : images) {
    picture.height = std::max(picture.height, one.height);
    picture.width += one.width + (picture.width > 0 ? kGap : 0);
  }
  picture.pixels.assign(static_cast<std::size_t>(picture.height * picture.width * 3), 255);
  std::int64_t left = 0;
  for (const RgbImage& one : images) {
    for (std::int64_t y = 0; y < one.height; ++y) {
      std::copy_n(one.pixels.begin() + y * one.width * 3, one.width * 3,
                  picture.pixels.begin() + (y * picture.width + left) * 3);
    }
    left += one.width + kGap;
  }
  return picture;
}

}  // namespace tessera
