#include "pipeline/report/section_viewer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "pipeline/report/page.h"
#include "pipeline/report/section_pictures.h"

namespace tessera {
namespace {

constexpr std::int64_t kMostPixels = 1600000, kDetailSide = 640;

/// The pictures of a section, row-major.
struct LayerImages {
  std::int64_t height = 0, width = 0;
  bool has_raw = false;
  std::vector<std::uint8_t> raw, probability, labels;
  std::vector<OverlayClass> errors;
};

LayerImages images_of(const SectionLayers& layers, double threshold) {
  LayerImages images{layers.height, layers.width, layers.has_raw, {}, {}, {}, {}};
  images.raw = stretched_grey(layers.raw);
  images.labels = label_grey(layers.truth);
  images.errors = overlay_classes(layers.truth, layers.probability, threshold);
  for (const double p : layers.probability)
    images.probability.push_back(static_cast<std::uint8_t>(std::lround(255 * std::clamp(p, 0.0, 1.0))));
  return images;
}

struct PixelWindow {
  std::int64_t y = 0, x = 0, height = 0, width = 0;
};

template <class Pixel>
std::vector<Pixel> cut(const std::vector<Pixel>& image, std::int64_t width, const PixelWindow& window) {
  std::vector<Pixel> part;
  for (std::int64_t y = window.y; y < window.y + window.height; ++y) {
    const auto row = image.begin() + y * width + window.x;
    part.insert(part.end(), row, row + window.width);
  }
  return part;
}

LayerImages detail_of(const LayerImages& whole, const PixelWindow& window) {
  return {window.height,
          window.width,
          whole.has_raw,
          cut(whole.raw, whole.width, window),
          cut(whole.probability, whole.width, window),
          cut(whole.labels, whole.width, window),
          cut(whole.errors, whole.width, window)};
}

/// Calls `function(out, y, x)` for each pixel of an image and the pixel `out` of the scaled one.
template <class Function>
void for_each_pixel(const LayerImages& whole, std::int64_t factor, std::int64_t scaled_width,
                    Function&& function) {
  for (std::int64_t y = 0; y < whole.height; ++y) {
    for (std::int64_t x = 0; x < whole.width; ++x)
      function(static_cast<std::size_t>(y / factor * scaled_width + x / factor),
               static_cast<std::size_t>(y * whole.width + x));
  }
}

/// Means over squares of `factor` pixels; of the errors the worst one.
LayerImages scaled_down(const LayerImages& whole, std::int64_t factor) {
  LayerImages scaled{(whole.height + factor - 1) / factor,
                     (whole.width + factor - 1) / factor,
                     whole.has_raw,
                     {},
                     {},
                     {},
                     {}};
  const auto size = static_cast<std::size_t>(scaled.height * scaled.width);
  const auto means = [&](const std::vector<std::uint8_t>& image) {
    std::vector<std::uint32_t> sum(size), count(size);
    for_each_pixel(whole, factor, scaled.width, [&](std::size_t to, std::size_t from) {
      sum[to] += image[from];
      ++count[to];
    });
    std::vector<std::uint8_t> mean(size);
    for (std::size_t i = 0; i < size; ++i)
      mean[i] = static_cast<std::uint8_t>((sum[i] + count[i] / 2) / std::max<std::uint32_t>(1, count[i]));
    return mean;
  };
  scaled.raw = means(whole.raw);
  scaled.probability = means(whole.probability);
  scaled.labels = means(whole.labels);
  scaled.errors.assign(size, OverlayClass::none);
  const auto rank = [](OverlayClass c) { return c == OverlayClass::ignored ? 0 : static_cast<int>(c) + 1; };
  for_each_pixel(whole, factor, scaled.width, [&](std::size_t to, std::size_t from) {
    if (rank(whole.errors[from]) > rank(scaled.errors[to])) scaled.errors[to] = whole.errors[from];
  });
  return scaled;
}

/// The window with most errors, on a grid of half its side.
PixelWindow worst_window(const LayerImages& whole) {
  const PixelWindow all{0, 0, std::min(kDetailSide, whole.height), std::min(kDetailSide, whole.width)};
  PixelWindow worst = all;
  std::int64_t most = -1;
  for (std::int64_t y = 0; y + all.height <= whole.height; y += kDetailSide / 2) {
    for (std::int64_t x = 0; x + all.width <= whole.width; x += kDetailSide / 2) {
      std::int64_t errors = 0;
      for (std::int64_t row = y; row < y + all.height; ++row) {
        const auto begin = whole.errors.begin() + row * whole.width + x;
        errors += std::count_if(begin, begin + all.width, [](OverlayClass c) {
          return c == OverlayClass::lost_membrane || c == OverlayClass::false_membrane;
        });
      }
      if (errors <= most) continue;
      most = errors;
      worst = {y, x, all.height, all.width};
    }
  }
  return worst;
}

Html choice(const std::string& id, const char* type, const std::string& name, const char* css_class,
            bool checked, const char* label) {
  std::vector<Attribute> attributes{{"type", type}, {"id", id}, {"class", css_class}};
  if (!name.empty()) attributes.push_back({"name", name});
  if (checked) attributes.push_back({"checked", ""});
  return element("input", attributes) + element("label", {{"for", id}}, text(label));
}

Html layer(const std::vector<std::byte>& png, const LayerImages& images, const char* css_class,
           const std::string& what) {
  return element("img", {{"src", "data:image/png;base64," + base64(png)},
                         {"class", css_class},
                         {"width", fmt::format("{}", images.width)},
                         {"height", fmt::format("{}", images.height)},
                         {"alt", what}});
}

Html viewer_of(const std::string& id, const std::string& caption, const LayerImages& images) {
  const auto grey = [&](const std::vector<std::uint8_t>& pixels) {
    return png_of_grey(pixels, images.height, images.width);
  };
  const char* base = images.has_raw ? "raw" : "probability";
  const Html left = layer(grey(images.raw), images, "base", fmt::format("{}: {}", caption, base)) +
                    layer(png_of_overlay(images.errors, images.height, images.width), images, "errors",
                          caption + ": errors of the prediction");
  const Html right = layer(grey(images.probability), images, "base", caption + ": probability") +
                     layer(grey(images.labels), images, "labels", caption + ": labels");
  const Html panes =
      tag("div", "pane", tag("div", "stack", left)) + tag("div", "pane", tag("div", "stack", right));
  return tag("figure", "viewer",
             element("figcaption", {}, text(caption)) +
                 choice(id + "-errors", "checkbox", "", "show-errors", true,
                        images.has_raw ? "errors over raw" : "errors") +
                 choice(id + "-probability", "radio", id, "show-probability", true, "probability") +
                 choice(id + "-labels", "radio", id, "show-labels", false, "labels") +
                 choice(id + "-full", "checkbox", "", "full-size", false, "full resolution") +
                 tag("div", "panes", panes));
}

}  // namespace

Html section_viewer(const std::string& id, const std::string& caption, const SectionLayers& layers,
                    double threshold) {
  const LayerImages whole = images_of(layers, threshold);
  std::int64_t factor = 1;
  while (whole.height * whole.width > kMostPixels * factor * factor)
    ++factor;
  if (factor == 1) return viewer_of(id, caption, whole);
  const PixelWindow window = worst_window(whole);
  const std::string where = fmt::format(
      "{} The detail with most errors, at full resolution: y {} to {}, x {} to {} of the scored pixels",
      caption.substr(0, caption.find(':') + 1), window.y, window.y + window.height - 1, window.x,
      window.x + window.width - 1);
  return viewer_of(id, fmt::format("{} (scaled to 1/{})", caption, factor), scaled_down(whole, factor)) +
         viewer_of(id + "-detail", where, detail_of(whole, window));
}

}  // namespace tessera
