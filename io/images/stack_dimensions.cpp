#include "io/images/stack_dimensions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "io/base/error.h"
#include "io/base/json_text.h"

namespace tessera {
namespace {

constexpr std::int64_t kMostPlanes = std::int64_t{1} << 40;

/// The product; none above kMostPlanes or when a factor is below 1.
std::optional<std::int64_t> product(const std::vector<std::int64_t>& factors, std::int64_t limit) {
  std::int64_t result = 1;
  for (const std::int64_t factor : factors) {
    if (factor < 1 || factor > limit / result) return std::nullopt;
    result *= factor;
  }
  return result;
}

/// "key=value" lines.
std::map<std::string, std::string, std::less<>> lines_of(std::string_view text) {
  std::map<std::string, std::string, std::less<>> found;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    std::string value(line.substr(equals + 1));
    while (!value.empty() && (value.back() == '\r' || value.back() == ' '))
      value.pop_back();
    found.emplace(line.substr(0, equals), std::move(value));
  }
  return found;
}

StackDimensions imagej_dimensions(std::string_view description, std::int64_t samples_per_pixel,
                                  const std::string& what) {
  const auto lines = lines_of(description);
  const auto number = [&](const char* key) -> std::optional<std::int64_t> {
    const auto found = lines.find(key);
    if (found == lines.end()) return std::nullopt;
    std::int64_t value = 0;
    const std::string& text = found->second;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc{} || end != text.data() + text.size() || value < 1 || value > kMostPlanes) {
      throw Error(fmt::format("{}: ImageJ's description says {}={}, which is not a number of planes", what,
                              key, text));
    }
    return value;
  };
  StackDimensions found;
  found.source = "ImageJ";
  found.channels = number("channels").value_or(1);
  found.sections = number("slices").value_or(1);
  found.times = number("frames").value_or(1);
  const std::int64_t images = number("images").value_or(1);
  const auto planes = product({found.channels, found.sections, found.times}, kMostPlanes);
  if (samples_per_pixel > 1 && found.channels == samples_per_pixel && images == found.sections * found.times)
    found.channels = 1;  // the samples of a pixel are the channels
  else if (planes == 1)
    found.sections = images;
  else if (planes != images && lines.count("images") != 0) {
    throw Error(
        fmt::format("{}: ImageJ's description says {} images, but {} channels, {} slices and {} frames: save "
                    "it again from ImageJ",
                    what, images, found.channels, found.sections, found.times));
  }
  const auto order = lines.find("order");
  if (order != lines.end() && order->second != "default") {
    std::string letters = order->second;
    std::transform(letters.begin(), letters.end(), letters.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string sorted = letters;
    std::sort(sorted.begin(), sorted.end());
    if (sorted != "ctz") throw Error(fmt::format("{}: unknown order of planes \"{}\"", what, order->second));
    std::copy(letters.begin(), letters.end(), found.order.begin());
  }
  const auto first = lines.find("c0"), second = lines.find("c1");
  if (first != lines.end() && second != lines.end()) {
    found.note = fmt::format("ImageJ calibrates its values (c0 = {}, c1 = {}); the stored numbers are read",
                             first->second, second->second);
  }
  return found;
}

StackDimensions dimensions_by_axes(const std::vector<std::int64_t>& leading, const std::string& axes,
                                   const std::string& text, const std::string& what) {
  StackDimensions found;
  found.source = "tifffile";
  std::string letters = axes;
  if (letters.empty()) {
    std::size_t real = 0;
    for (const std::int64_t size : leading)
      real += size > 1 ? 1 : 0;
    const std::string by_place = "tcz";
    if (real > by_place.size())
      throw Error(fmt::format("{} holds an array with too many dimensions: {}", what, text));
    for (const std::int64_t size : leading)
      letters += size > 1 ? by_place[by_place.size() - real--] : '-';
  }
  std::size_t next = found.order.size();
  std::string used;
  for (std::size_t i = 0; i < leading.size(); ++i) {
    if (leading[i] == 1) continue;
    char letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letters[i])));
    if ((letter == 'q' || letter == 'i') && letters.find_first_of("zZ") == std::string::npos) letter = 'z';
    if ((letter != 'c' && letter != 'z' && letter != 't') || used.find(letter) != std::string::npos) {
      throw Error(fmt::format(
          "{} has the axes {} (shape {}): only channels (C), sections (Z) and time (T) can be read", what,
          axes, text));
    }
    used += letter;
    (letter == 'c' ? found.channels : letter == 'z' ? found.sections : found.times) = leading[i];
    found.order[--next] = letter;
  }
  for (const char letter : {'t', 'z', 'c'}) {
    if (used.find(letter) == std::string::npos) found.order[--next] = letter;
  }
  return found;
}

std::optional<StackDimensions> shaped_dimensions(std::string_view description, std::int64_t page_samples,
                                                 const std::string& what) {
  constexpr std::size_t kLongest = 1 << 20;
  if (description.size() > kLongest) return std::nullopt;
  const nlohmann::json json = parse_json<nlohmann::json>(description);
  if (!json.is_object() || !json.contains("shape") || !json["shape"].is_array()) return std::nullopt;
  std::vector<std::int64_t> shape;
  for (const nlohmann::json& size : json["shape"]) {
    if (!size.is_number_integer()) return std::nullopt;
    shape.push_back(size.get<std::int64_t>());
  }
  const std::string text = json["shape"].dump();
  const auto all = product(shape, std::numeric_limits<std::int64_t>::max() / 2);
  if (!all || *all % page_samples != 0)
    throw Error(
        fmt::format("{}: its description says the shape {}, which does not fit its pages", what, text));
  std::vector<std::int64_t> leading;
  std::int64_t planes = 1;
  while (planes < *all / page_samples && leading.size() < shape.size()) {
    leading.push_back(shape[leading.size()]);
    planes *= leading.back();
  }
  if (planes != *all / page_samples)
    throw Error(
        fmt::format("{}: its description says the shape {}, which does not fit its pages", what, text));
  std::string axes;
  if (json.contains("axes") && json["axes"].is_string()) axes = json["axes"].get<std::string>();
  if (axes.size() != shape.size()) axes.clear();
  return dimensions_by_axes(leading, axes, text, what);
}

}  // namespace

std::int64_t StackDimensions::plane(std::int64_t channel, std::int64_t section, std::int64_t time) const {
  std::int64_t number = 0, step = 1;
  for (const char dimension : order) {
    number += step * (dimension == 'c' ? channel : dimension == 'z' ? section : time);
    step *= dimension == 'c' ? channels : dimension == 'z' ? sections : times;
  }
  return number;
}

std::optional<StackDimensions> described_dimensions(std::string_view description, std::int64_t page_samples,
                                                    std::int64_t samples_per_pixel,
                                                    const std::string& file_name, const std::string& what) {
  if (description.starts_with("ImageJ=")) return imagej_dimensions(description, samples_per_pixel, what);
  const std::size_t first =
      std::min(description.find_first_not_of(" \r\n\t\xef\xbb\xbf"), description.size());
  const std::string_view text = description.substr(first);
  if (text.starts_with("{")) return shaped_dimensions(text, page_samples, what);
  if (text.starts_with("<") && text.find("<OME") != std::string_view::npos)
    return ome_dimensions(text, samples_per_pixel, file_name, what);
  return std::nullopt;
}

}  // namespace tessera
