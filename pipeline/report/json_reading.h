#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "pipeline/evaluate/evaluation_json.h"

namespace tessera {

// Looks into JSON that a file held: nothing of it is taken for granted.

using JsonPath = std::initializer_list<std::string_view>;

/// What stands there; null where a key is missing or something on the way is no object.
const Json& json_at(const Json& json, JsonPath path);
/// The number there; NaN where there is none.
double number_at(const Json& json, JsonPath path);
/// The whole number there; -1 where there is none.
std::int64_t whole_at(const Json& json, JsonPath path);
/// The text there; "" where there is none.
std::string words_at(const Json& json, JsonPath path);
/// The elements of the array there; of nothing else any.
const Json& list_at(const Json& json, JsonPath path);

/// What "sections" of an evaluation says of one section; null where it is not among them.
const Json& section_of(const Json& evaluation, std::int64_t section);

}  // namespace tessera
