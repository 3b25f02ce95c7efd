#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "pipeline/evaluate/evaluation_json.h"

namespace tessera {

// Reads values of JSON from a file, which may lack any of them.

using JsonPath = std::initializer_list<std::string_view>;

/// The value at `path`; null where a key is missing or a parent is not an object.
const Json& json_at(const Json& json, JsonPath path);
/// The number at `path`; NaN without one.
double number_at(const Json& json, JsonPath path);
/// The integer at `path`; -1 without one.
std::int64_t whole_at(const Json& json, JsonPath path);
/// The text at `path`; "" without one.
std::string text_at(const Json& json, JsonPath path);
/// The array at `path`; an empty one without it.
const Json& list_at(const Json& json, JsonPath path);

/// The entry of a section in "sections" of an evaluation; null without one.
const Json& section_of(const Json& evaluation, std::int64_t section);

}  // namespace tessera
