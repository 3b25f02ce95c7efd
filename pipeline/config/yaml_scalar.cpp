#include "pipeline/config/yaml_scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

namespace tessera {
namespace {

bool is_decimal_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Whether a number's digits start with a superfluous 0, which some readers take for octal.
bool has_leading_zero(std::string_view digits) {
  return digits.size() > 1 && digits[0] == '0' && is_decimal_digit(digits[1]);
}

std::string_view without_minus(const std::string& text) {
  std::string_view view(text);
  if (!view.empty() && view[0] == '-') view.remove_prefix(1);
  return view;
}

/// Whether the string may stand without quotes, in a list too.
bool is_safe_plain(const std::string& text) {
  if (text.empty() || !(is_letter(text[0]) || text[0] == '_' || text[0] == '/')) return false;
  const bool safe = std::all_of(text.begin(), text.end(), [](char c) {
    return is_letter(c) || is_decimal_digit(c) || std::string_view("_-./+").find(c) != std::string_view::npos;
  });
  return safe && is_plain_text(text);
}

}  // namespace

std::optional<bool> parse_bool(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<std::int64_t> parse_integer(const std::string& text) {
  const std::string_view digits = without_minus(text);
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_decimal_digit) ||
      has_leading_zero(digits)) {
    return std::nullopt;
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<LabelId> parse_id(const std::string& text) {
  if (has_leading_zero(without_minus(text))) return std::nullopt;
  return parse_label_id(text);
}

std::optional<double> parse_number(const std::string& text) {
  const std::string_view digits = without_minus(text);
  const bool starts_well = !digits.empty() && (is_decimal_digit(digits[0]) || digits[0] == '.');
  if (!starts_well || has_leading_zero(digits)) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

bool is_plain_text(const std::string& text) {
  static constexpr std::array<std::string_view, 11> kWords{"",   "~",  "null", "true", "false", "yes",
                                                           "no", "on", "off",  "y",    "n"};
  std::string lower = text;
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (std::find(kWords.begin(), kWords.end(), lower) != kWords.end()) return false;
  // Numbers, dates and the sexagesimals of YAML 1.1 start so; .nan and .inf too.
  const char first = text[0];
  return !is_decimal_digit(first) && !(text.size() > 1 && (first == '-' || first == '+' || first == '.'));
}

std::string to_yaml(bool value) {
  return value ? "true" : "false";
}
std::string to_yaml(std::int64_t value) {
  return fmt::format("{}", value);
}
std::string to_yaml(LabelId value) {
  return fmt::format("{}", value);
}
/// The shortest digits that read back as the same double.
std::string to_yaml(double value) {
  return fmt::format("{}", value);
}

std::string to_yaml(const std::string& value) {
  if (is_safe_plain(value)) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      quoted += fmt::format("\\{}", c);
    else if (c == '\n')
      quoted += "\\n";
    else if (c == '\t')
      quoted += "\\t";
    else if (byte < 0x20 || byte == 0x7f)
      quoted += fmt::format("\\x{:02x}", byte);
    else
      quoted += c;
  }
  return quoted + "\"";
}

}  // namespace tessera
