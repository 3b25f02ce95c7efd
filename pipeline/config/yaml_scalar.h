#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/volume/label_id.h"

namespace tessera {

/// Strict parsing of a plain (unquoted) scalar; none for anything else.
std::optional<bool> parse_bool(const std::string& text);             ///< `true` or `false`
std::optional<std::int64_t> parse_integer(const std::string& text);  ///< decimal, no sign but -, no leading 0
std::optional<LabelId> parse_id(const std::string& text);            ///< likewise, of 64 bits; -1 is 2^64 - 1
std::optional<double> parse_number(const std::string& text);         ///< decimal, finite, no leading 0

/// Whether every YAML reader (1.1 and 1.2) takes the plain scalar `text` as a string: false for what looks
/// like a number, a truth value or null (`010`, `1e3`, `yes`, `~`).
bool is_plain_text(const std::string& text);

/// The values as YAML that parse back to the same ones: strings are quoted where anything else is unsafe.
std::string to_yaml(bool value);
std::string to_yaml(std::int64_t value);
std::string to_yaml(LabelId value);
std::string to_yaml(double value);
std::string to_yaml(const std::string& value);

/// A flow list, `[1, 2]`.
template <class T>
std::string to_yaml(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) {
    if (text.size() > 1) text += ", ";
    text += to_yaml(value);
  }
  return text + "]";
}

}  // namespace tessera
