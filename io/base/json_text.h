#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "io/base/utf8_text.h"

namespace tessera {

/// Whether arrays and objects are nested deeper than 100 levels. The library copies and prints values
/// recursively, so that a deeper text could exhaust the stack.
bool is_deep_json(std::string_view text);

/// The value of a JSON text; a discarded value (`is_discarded()`) where it is not valid, or deep.
template <class Json>
Json parse_json(std::string_view text) {
  if (is_deep_json(text)) return Json(Json::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

/// The text of a key; "" where `object` has none.
template <class Json>
std::string json_text_at(const Json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->template get<std::string>() : std::string();
}

namespace json_text_parts {
/// Makes every text and key of the value UTF-8.
template <class Json>
void make_utf8(Json& json) {
  if (json.is_string()) json = shown_as_utf8(json.template get<std::string>());
  if (json.is_array()) {
    for (Json& one : json)
      make_utf8(one);
  }
  if (json.is_object()) {
    Json object = Json::object();
    for (auto& [key, value] : json.items()) {
      make_utf8(value);
      object[shown_as_utf8(key)] = std::move(value);
    }
    json = std::move(object);
  }
}
}  // namespace json_text_parts

/// A value as JSON text, for a file or for standard output. A text that is not UTF-8, such as a path, becomes
/// UTF-8 by shown_as_utf8.
template <class Json>
std::string json_text(const Json& json, int indent) {
  try {
    return json.dump(indent);
  } catch (const typename Json::type_error&) {  // a text is not UTF-8
    Json copy = json;
    json_text_parts::make_utf8(copy);
    return copy.dump(indent);
  }
}

}  // namespace tessera
