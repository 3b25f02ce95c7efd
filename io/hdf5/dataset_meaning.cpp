#include "io/hdf5/dataset_meaning.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "io/base/error.h"
#include "io/base/json_text.h"
#include "io/hdf5/hdf5_attributes.h"

namespace tessera {
namespace {

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// The letter of an axis by its name; 0 for a name that says nothing.
char axis_letter(const std::string& name) {
  static const std::map<std::string, char> letters{
      {"z", 'z'},     {"depth", 'z'},   {"plane", 'z'},    {"section", 'z'}, {"slice", 'z'},
      {"y", 'y'},     {"height", 'y'},  {"row", 'y'},      {"rows", 'y'},    {"x", 'x'},
      {"width", 'x'}, {"col", 'x'},     {"column", 'x'},   {"cols", 'x'},    {"columns", 'x'},
      {"c", 'c'},     {"channel", 'c'}, {"channels", 'c'}, {"band", 'c'},    {"t", 't'},
      {"time", 't'}};
  const auto found = letters.find(lower_case(name));
  return found == letters.end() ? '\0' : found->second;
}

/// The names in "zyx", "z y x" or "z, y, x".
std::vector<std::string> names_in(const std::string& text, std::size_t rank) {
  std::vector<std::string> names{""};
  for (const char c : text) {
    if (c != ' ' && c != ',' && c != ';')
      names.back() += c;
    else if (!names.back().empty())
      names.emplace_back();
  }
  if (names.back().empty()) names.pop_back();
  if (names.size() != 1 || names.front().size() != rank) return names;
  std::vector<std::string> letters;
  for (const char c : names.front())
    letters.emplace_back(1, c);
  return letters;
}

/// The keys of axistags of vigra and ilastik, in the order of the dataset's axes.
std::vector<std::string> names_in_axistags(const std::string& text) {
  const auto json = parse_json<nlohmann::json>(text);
  std::vector<std::string> names;
  if (!json.is_object() || !json.contains("axes") || !json["axes"].is_array()) return names;
  for (const auto& axis : json["axes"]) {
    const bool named = axis.is_object() && axis.contains("key") && axis["key"].is_string();
    names.push_back(named ? axis["key"].get<std::string>() : "");
  }
  return names;
}

void require_axes(hid_t dataset, const std::vector<hsize_t>& shape, const std::string& name) {
  const std::string expected = std::string("czyx").substr(4 - shape.size());
  for (const char* attribute : {"axes", "axis_order", "axistags", "dimension_order", "dims",
                                "DIMENSION_LABELS", "_ARRAY_DIMENSIONS"}) {
    std::vector<std::string> axes = read_string_list(dataset, attribute);
    if (axes.size() == 1) {
      axes = attribute == std::string_view("axistags") ? names_in_axistags(axes.front())
                                                       : names_in(axes.front(), shape.size());
    }
    if (axes.size() != shape.size()) continue;
    bool fits = true;
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const char letter = axis_letter(axes[i]);
      const bool harmless =
          i == 0 && shape[i] == 1 && letter != 'x' && letter != 'y';  // one section, one channel
      fits = fits && (letter == '\0' || letter == expected[i] || harmless);
    }
    if (fits) continue;
    throw Error(
        fmt::format("{}: its attribute '{}' says that its axes are ({}), but Tessera reads ({}). Transpose "
                    "it (or, if that is "
                    "wrong, correct the attribute), for example with h5py.",
                    name, attribute, fmt::join(axes, ", "), fmt::join(expected, ", ")));
  }
}

void require_number(hid_t dataset, const char* attribute, double expected, const std::string& name,
                    const char* meaning) {
  const std::vector<double> values = read_double_attribute(dataset, attribute);
  if (values.empty() || (values.size() == 1 && values.front() == expected)) return;
  throw Error(fmt::format("{}: its attribute '{}' is {}: {}. Save the values that are meant, without it.",
                          name, attribute, fmt::join(values, ", "), meaning));
}

std::vector<double> read_triple(hid_t dataset, const char* attribute, const std::string& name) {
  std::vector<double> values = read_double_attribute(dataset, attribute);
  const bool finite = std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
  if (values.empty() || (values.size() == 3 && finite)) return values;
  throw Error(
      fmt::format("{}: its attribute '{}' is ({}), not 3 numbers (z, y, x) in nm. Correct or delete it, for "
                  "example with h5py.",
                  name, attribute, fmt::join(values, ", ")));
}

}  // namespace

void require_plain_meaning(hid_t dataset, const std::vector<hsize_t>& shape, const std::string& name) {
  require_axes(dataset, shape, name);
  const std::vector<std::string> kind = read_string_list(dataset, "IMAGE_SUBCLASS");
  if (kind.size() == 1 && kind.front() == "IMAGE_TRUECOLOR") {
    throw Error(
        name +
        ": it is a colour image (attribute 'IMAGE_SUBCLASS'); Tessera reads grey values. Save one channel, "
        "or their mean.");
  }
  require_number(dataset, "IMAGE_WHITE_IS_ZERO", 0, name, "0 means white");
  require_number(dataset, "scale_factor", 1, name, "the values are scaled");
  require_number(dataset, "add_offset", 0, name, "the values are shifted");
}

std::vector<double> read_resolution(hid_t dataset, const std::string& name) {
  std::vector<double> values = read_double_attribute(dataset, "resolution");
  if (values.size() == 1)
    values.assign(3, values.front());
  else
    values = read_triple(dataset, "resolution", name);
  const bool positive =
      std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v) && v > 0; });
  if (positive) return values;
  throw Error(fmt::format(
      "{}: its attribute 'resolution' is ({}): voxels have a positive size. Correct or delete it, "
      "for example with h5py.",
      name, fmt::join(values, ", ")));
}

std::vector<double> read_offset(hid_t dataset, const std::string& name) {
  return read_triple(dataset, "offset", name);
}

}  // namespace tessera
