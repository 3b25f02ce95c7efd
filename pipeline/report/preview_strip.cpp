#include "pipeline/report/preview_strip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <regex>
#include <system_error>
#include <utility>
#include <vector>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "pipeline/report/page.h"
#include "pipeline/report/section_pictures.h"

namespace tessera {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMostPreviews = 8;
constexpr std::int64_t kThumbnailSide = 180;
/// A preview is raw, labels and prediction side by side (overlay.h).
constexpr std::int64_t kPanels = 3;

/// Files by iteration.
using Previews = std::map<std::int64_t, fs::path>;

/// The previews of the section that has most of them; of equal ones the first.
Previews previews_in(const fs::path& folder) {
  const std::regex pattern("iteration_([0-9]{1,18})(?:_volume_([0-9]{1,9}))?_section_([0-9]{1,9})\\.png");
  std::map<std::pair<std::int64_t, std::int64_t>, Previews> sections;
  for (const fs::path& file : paths_in(folder)) {
    std::smatch found;
    const std::string name = file.filename().string();
    if (!std::regex_match(name, found, pattern)) continue;
    const std::int64_t volume = found[2].matched ? std::stoll(found[2]) : 0;
    sections[{volume, std::stoll(found[3])}][std::stoll(found[1])] = file;
  }
  Previews most;
  for (const auto& [section, previews] : sections) {
    if (previews.size() > most.size()) most = previews;
  }
  return most;
}

/// At most `count` of them, evenly spread, the first and the last among them.
std::vector<std::pair<std::int64_t, fs::path>> spread(const Previews& all, std::size_t count) {
  std::vector<std::pair<std::int64_t, fs::path>> list(all.begin(), all.end());
  if (list.size() <= count) return list;
  std::vector<std::pair<std::int64_t, fs::path>> chosen;
  for (std::size_t i = 0; i < count; ++i)
    chosen.push_back(list[i * (list.size() - 1) / (count - 1)]);
  return chosen;
}

/// The rightmost panel, scaled down by a whole factor (means of squares).
RgbImage thumbnail(const RgbImage& picture) {
  const std::int64_t gap = 6, panel = (picture.width - (kPanels - 1) * gap) / kPanels;
  if (panel < 1 || picture.height < 1) throw Error("it is no preview");
  const std::int64_t left = picture.width - panel,
                     factor = (std::max(panel, picture.height) + kThumbnailSide - 1) / kThumbnailSide;
  RgbImage small{
      std::max<std::int64_t>(1, picture.height / factor), std::max<std::int64_t>(1, panel / factor), {}};
  for (std::int64_t y = 0; y < small.height; ++y) {
    for (std::int64_t x = 0; x < small.width; ++x) {
      for (std::int64_t c = 0; c < 3; ++c) {
        std::int64_t sum = 0, count = 0;
        for (std::int64_t row = y * factor; row < std::min((y + 1) * factor, picture.height); ++row) {
          for (std::int64_t column = x * factor; column < std::min((x + 1) * factor, panel);
               ++column, ++count)
            sum += picture.pixels[static_cast<std::size_t>((row * picture.width + left + column) * 3 + c)];
        }
        small.pixels.push_back(
            static_cast<std::uint8_t>((sum + count / 2) / std::max<std::int64_t>(1, count)));
      }
    }
  }
  return small;
}

/// "0.0912" of the validation of an iteration; "" without one.
std::string error_at(const RunRecord& record, std::int64_t iteration) {
  const std::vector<double> iterations = record.metrics.column("iteration"),
                            errors = record.metrics.column("validation_pixel_error");
  for (std::size_t i = 0; i < std::min(iterations.size(), errors.size()); ++i) {
    if (iterations[i] == static_cast<double>(iteration) && std::isfinite(errors[i]))
      return number_text(errors[i], 4);
  }
  return {};
}

}  // namespace

Html preview_strip(const RunRecord& record) {
  if (!is_folder(record.place)) return {};
  Html content, problems;
  for (const auto& [iteration, file] : spread(previews_in(record.place / "previews"), kMostPreviews)) {
    try {
      const RgbImage small = thumbnail(read_rgb(file));
      const std::string error = error_at(record, iteration),
                        name = with_commas(static_cast<double>(iteration));
      content += element(
          "figure", {},
          inline_png(png_of(small), small.width, small.height,
                     fmt::format("Prediction after {} iterations", name)) +
              element("figcaption", {},
                      text(name) + (error.empty() ? Html() : tag("span", "note", text(" error " + error)))));
    } catch (const Error& error) {  // also of one that a kill has cut short
      const std::string problem =
          fmt::format("the preview after {} iterations is left out: {}", iteration, error.what());
      spdlog::warn("{}", problem);
      problems += note(problem);
    }
  }
  if (content.empty()) return problems;
  return element("h3", {}, text("One validation section over the iterations")) +
         tag("div", "strip", content) + problems +
         note(
             "The prediction over raw at threshold 0.5, and the pixel error of all validation sections. "
             "The folder previews has every preview, with raw and labels.");
}

}  // namespace tessera
