#include "pipeline/report/json_reading.h"

#include <limits>

namespace tessera {

const Json& json_at(const Json& json, JsonPath path) {
  static const Json kNothing;
  const Json* at = &json;
  for (const std::string_view key : path) {
    if (!at->is_object()) return kNothing;
    const auto found = at->find(std::string(key));
    if (found == at->end()) return kNothing;
    at = &*found;
  }
  return *at;
}

double number_at(const Json& json, JsonPath path) {
  const Json& value = json_at(json, path);
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::int64_t whole_at(const Json& json, JsonPath path) {
  const Json& value = json_at(json, path);
  return value.is_number_integer() ? value.get<std::int64_t>() : -1;
}

std::string text_at(const Json& json, JsonPath path) {
  const Json& value = json_at(json, path);
  return value.is_string() ? value.get<std::string>() : std::string();
}

const Json& list_at(const Json& json, JsonPath path) {
  static const Json kEmpty = Json::array();
  const Json& value = json_at(json, path);
  return value.is_array() ? value : kEmpty;
}

const Json& section_of(const Json& evaluation, std::int64_t section) {
  static const Json kNothing;
  for (const Json& one : list_at(evaluation, {"sections"})) {
    if (section >= 0 && whole_at(one, {"section"}) == section) return one;
  }
  return kNothing;
}

}  // namespace tessera
