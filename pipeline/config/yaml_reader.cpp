#include "pipeline/config/yaml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <utility>

#include "pipeline/config/config_state.h"
#include "pipeline/config/yaml_scalar.h"

namespace tessera {

namespace {

using Kind = YamlNode::Kind;

/// The name of a type in messages, and its strict parsing from a plain scalar.
template <class T>
struct Scalar;
template <>
struct Scalar<bool> {
  static constexpr const char* kName = "true or false";
  static constexpr const char* kType = "true or false";
  static std::optional<bool> parse(const std::string& text) { return parse_bool(text); }
};
template <>
struct Scalar<std::int64_t> {
  static constexpr const char* kName = "a whole number in decimal digits";
  static constexpr const char *kType = "a whole number", *kPlural = "whole numbers";
  static std::optional<std::int64_t> parse(const std::string& text) { return parse_integer(text); }
};
template <>
struct Scalar<LabelId> {
  static constexpr const char* kName =
      "the id of a label: a whole number from -9223372036854775808 to 18446744073709551615 in decimal digits";
  static constexpr const char* kType = "the id of a label";
  static std::optional<LabelId> parse(const std::string& text) { return parse_id(text); }
};
template <>
struct Scalar<double> {
  static constexpr const char* kName = "a finite number";
  static constexpr const char *kType = "a number", *kPlural = "numbers";
  static std::optional<double> parse(const std::string& text) { return parse_number(text); }
};
template <>
struct Scalar<std::string> {
  static constexpr const char* kName = "text";
  static constexpr const char *kType = "text", *kPlural = "texts";
  static std::optional<std::string> parse(const std::string& text) { return text; }
};

/// A message about the limit that the number breaks, or "".
std::string broken_limit(double value, const Range& range) {
  const bool low = range.min_excluded ? value <= range.min : value < range.min;
  const bool high = range.max_excluded ? value >= range.max : value > range.max;
  if (low) return fmt::format("must be {} {}", range.min_excluded ? "more than" : "at least", range.min);
  if (high) return fmt::format("must be {} {}", range.max_excluded ? "less than" : "at most", range.max);
  return {};
}

/// "a whole number", "a list of 2 numbers".
template <class T>
std::string type_text(const Range& range) {
  if constexpr (ConfigScalar<T>) {
    return Scalar<T>::kType;
  } else {
    const char* elements = Scalar<typename T::value_type>::kPlural;
    return range.count == 0 ? fmt::format("a list of {}", elements)
                            : fmt::format("a list of {} {}", range.count, elements);
  }
}

/// "0 to 0.5", "more than 0"; "" for any number.
std::string range_text(const Range& range) {
  const bool low = std::isfinite(range.min), high = std::isfinite(range.max);
  const std::string least = fmt::format("{}{}", range.min_excluded ? "more than " : "", range.min);
  const std::string most = fmt::format("{}{}", range.max_excluded ? "less than " : "", range.max);
  if (low && high) return fmt::format("{} to {}", least, most);
  if (low) return (range.min_excluded ? "" : "at least ") + least;
  if (high) return (range.max_excluded ? "" : "at most ") + most;
  return {};
}

template <class T>
std::string range_text(const Range& range) {
  const std::string text = range_text(range);
  return ConfigScalar<T> || text.empty() ? text : "each " + text;
}

/// "data.volumes.raw" of "data.volumes[0].raw".
std::string without_indices(const std::string& path) {
  std::string text;
  bool inside = false;
  for (const char c : path) {
    if (c == '[') inside = true;
    if (!inside) text += c;
    if (c == ']') inside = false;
  }
  return text;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; in >> word;)
    words.push_back(word);
  return words;
}

}  // namespace

Range Range::of_count(std::size_t elements) const {
  Range range = *this;
  range.count = elements;
  return range;
}
Range at_least(double min) {
  Range range;
  range.min = min;
  return range;
}
Range above(double min) {
  Range range;
  range.min = min;
  range.min_excluded = true;
  return range;
}
Range between(double min, double max) {
  Range range;
  range.min = min;
  range.max = max;
  return range;
}
Range list_of(std::size_t count) {
  return Range().of_count(count);
}

ConfigSection::ConfigSection(ConfigState& document, const YamlNode* node, const YamlPlace& place,
                             std::string path)
    : document_(&document), node_(node), place_(place), path_(std::move(path)) {}

std::string ConfigSection::name_of(const std::string& key) const {
  return join(path_, key);
}

const YamlNode* ConfigSection::find(const std::string& key) const {
  return node_ == nullptr ? nullptr : node_->find(key);
}

bool ConfigSection::has(const std::string& key) const {
  return find(key) != nullptr;
}

const YamlNode* ConfigSection::consume(const std::string& key) {
  document_->line(path_, key);
  return find(key);
}

void ConfigSection::record(const std::string& key, const std::string& yaml) {
  ConfigState::Line& line = document_->line(path_, key);
  if (line.kind == ConfigState::Line::Kind::absent) line = {ConfigState::Line::Kind::value, key, yaml, 0};
}

void ConfigSection::problem(const std::string& key, const std::string& text) {
  const YamlNode* node = find(key);
  document_->add_problem(node != nullptr ? node->key_place : place_, name_of(key), text);
}

template <class T>
std::optional<T> ConfigSection::reject(const YamlNode& node, const std::string& key,
                                       const std::string& text) {
  document_->add_problem(node.kind == Kind::null && !node.key.empty() ? node.key_place : node.place,
                         name_of(key), text);
  return std::nullopt;
}

template <class T>
std::optional<T> ConfigSection::convert(const YamlNode& node, const std::string& key, const Range& range) {
  if constexpr (ConfigScalar<T>) {
    const bool usable = node.kind == Kind::scalar && (!node.quoted || std::same_as<T, std::string>);
    std::optional<T> value = usable ? Scalar<T>::parse(node.text) : std::nullopt;
    if (!value)
      return reject<T>(node, key, fmt::format("{} is not {}", describe_node(node), Scalar<T>::kName));
    if constexpr (ConfigNumber<T>) {
      const std::string broken = broken_limit(static_cast<double>(*value), range);
      if (!broken.empty()) return reject<T>(node, key, fmt::format("is {} but {}", node.text, broken));
    }
    return value;
  } else {
    using Element = typename T::value_type;
    if (node.kind != Kind::list) {
      return reject<T>(node, key,
                       fmt::format("{} is not a list, such as [a, b]; each element must be {}",
                                   describe_node(node), Scalar<Element>::kName));
    }
    if (range.count != 0 && node.children.size() != range.count) {
      return reject<T>(node, key,
                       fmt::format("needs a list of {}, this one has {}", range.count, node.children.size()));
    }
    T values;
    for (std::size_t i = 0; i < node.children.size(); ++i) {
      const auto value = convert<Element>(node.children[i], fmt::format("{}[{}]", key, i), range);
      if (value) values.push_back(*value);
    }
    if (values.size() != node.children.size()) return std::nullopt;
    return values;
  }
}

void ConfigSection::describe(const Key& key, KeyDescription::Kind kind, const std::string& type,
                             const std::string& range, const std::string& fallback, bool required) {
  if (!document_->describing) return;
  std::vector<KeyDescription>& all = document_->descriptions;
  KeyDescription one;
  one.kind = kind;
  one.name = without_indices(name_of(key.name));
  if (std::any_of(all.begin(), all.end(),
                  [&](const KeyDescription& known) { return known.name == one.name; }))
    return;
  one.text = key.text;
  one.type = key.notes.form.empty() ? type : key.notes.form;
  one.range = key.notes.form.empty() ? range : "";
  one.fallback = fallback;
  one.fallback_text = key.notes.fallback;
  one.example = key.notes.example.empty() ? fallback : key.notes.example;
  one.related = words_of(key.notes.related);
  one.page = key.notes.page;
  one.required = required;
  all.push_back(std::move(one));
}

template <ConfigValue T>
T ConfigSection::get(const Key& key, const T& fallback, const Range& range) {
  const YamlNode* node = consume(key.name);
  describe(key, KeyDescription::Kind::value, type_text<T>(range), range_text<T>(range), to_yaml(fallback));
  T value = node == nullptr ? fallback : convert<T>(*node, key.name, range).value_or(fallback);
  record(key.name, to_yaml(value));
  return value;
}

template <ConfigValue T>
std::optional<T> ConfigSection::require(const Key& key, const Range& range) {
  const YamlNode* node = consume(key.name);
  describe(key, KeyDescription::Kind::value, type_text<T>(range), range_text<T>(range), "", true);
  if (node == nullptr && document_->describing) {
    const YamlNode example = parse_yaml({key.notes.example, "", 0}, document_->problems);
    return convert<T>(example, key.name, range);
  }
  if (node == nullptr) {
    document_->add_problem(place_, name_of(key.name), "is missing, and it has no default");
    return std::nullopt;
  }
  std::optional<T> value = convert<T>(*node, key.name, range);
  record(key.name, to_yaml(value.value_or(T{})));
  return value;
}

template <ConfigValue T>
std::optional<T> ConfigSection::optional(const Key& key, const Range& range) {
  const YamlNode* node = consume(key.name);
  describe(key, KeyDescription::Kind::value, type_text<T>(range), range_text<T>(range), "");
  if (node == nullptr) return std::nullopt;
  std::optional<T> value = convert<T>(*node, key.name, range);
  if (value) record(key.name, to_yaml(*value));
  return value;
}

std::optional<std::string> ConfigSection::chosen(const Key& key, const std::vector<std::string>& names,
                                                 const std::string& fallback) {
  const YamlNode* node = consume(key.name);
  describe(key, KeyDescription::Kind::value, fmt::format("one of {}", fmt::join(names, ", ")), "", fallback);
  if (node == nullptr) return std::nullopt;
  auto text = convert<std::string>(*node, key.name, {});
  if (!text || std::find(names.begin(), names.end(), *text) != names.end()) return text;
  return reject<std::string>(
      *node, key.name,
      fmt::format("'{}' is none of {}{}", *text, fmt::join(names, ", "), suggestion(*text, names)));
}

std::string ConfigSection::choice(const Key& key, const std::string& fallback,
                                  const std::vector<std::string>& names) {
  std::string value = chosen(key, names, to_yaml(fallback)).value_or(fallback);
  record(key.name, to_yaml(value));
  return value;
}

std::optional<std::string> ConfigSection::optional_choice(const Key& key,
                                                          const std::vector<std::string>& names) {
  std::optional<std::string> value = chosen(key, names, "");
  if (value) record(key.name, to_yaml(*value));
  return value;
}

template <ConfigNumber T>
std::variant<std::string, T> ConfigSection::get_or_word(const Key& key,
                                                        const std::variant<std::string, T>& fallback,
                                                        const std::vector<std::string>& names,
                                                        const Range& range) {
  const auto yaml = [](const auto& value) {
    return std::visit([](const auto& one) { return to_yaml(one); }, value);
  };
  const YamlNode* node = consume(key.name);
  describe(key, KeyDescription::Kind::value,
           fmt::format("{}, or {}", fmt::join(names, ", "), type_text<T>(range)), range_text<T>(range),
           yaml(fallback));
  std::variant<std::string, T> value = fallback;
  if (node != nullptr) {
    const bool scalar = node->kind == Kind::scalar;
    if (scalar && std::find(names.begin(), names.end(), node->text) != names.end()) {
      value = node->text;
    } else if (scalar && !node->quoted && Scalar<T>::parse(node->text)) {
      if (const auto number = convert<T>(*node, key.name, range)) value = *number;
    } else {
      reject<T>(*node, key.name,
                fmt::format("{} is neither {} nor {}{}", describe_node(*node), Scalar<T>::kName,
                            fmt::join(names, ", "), scalar ? suggestion(node->text, names) : ""));
    }
  }
  record(key.name, yaml(value));
  return value;
}

ConfigSection ConfigSection::section(const Key& key) {
  const YamlNode* node = consume(key.name);
  describe(key, KeyDescription::Kind::section, "a section", "", "");
  const std::string path = name_of(key.name);
  document_->line(path_, key.name) = {ConfigState::Line::Kind::section, key.name, {}, 0};
  document_->lines[path];
  if (node == nullptr) return {*document_, nullptr, place_, path};
  if (node->kind != Kind::map && node->kind != Kind::null) {
    reject<bool>(*node, key.name,
                 fmt::format("{} where a section (key: value lines) is needed", describe_node(*node)));
  }
  return {*document_, node->kind == Kind::map ? node : nullptr, node->key_place, path};
}

void ConfigSection::leave_out(const std::string& key) {
  document_->line(path_, key).kind = ConfigState::Line::Kind::absent;
}

std::vector<ConfigSection> ConfigSection::sections(const Key& key) {
  const YamlNode* node = consume(key.name);
  describe(key, KeyDescription::Kind::list, "a list of sections", "", "");
  const std::string path = name_of(key.name);
  if (node == nullptr && document_->describing) return {{*document_, nullptr, place_, item_name(path, 0)}};
  if (node == nullptr) return {};
  if (node->kind != Kind::list) {
    reject<bool>(
        *node, key.name,
        fmt::format("{} where a list of sections (- key: value lines) is needed", describe_node(*node)));
    return {};
  }
  document_->line(path_, key.name) = {ConfigState::Line::Kind::list, key.name, {}, node->children.size()};
  std::vector<ConfigSection> items;
  for (std::size_t i = 0; i < node->children.size(); ++i) {
    const YamlNode& child = node->children[i];
    const std::string name = item_name(path, i);
    document_->lines[name];
    if (child.kind != Kind::map) {
      reject<bool>(child, item_name(key.name, i),
                   fmt::format("{} where a section (key: value lines) is needed", describe_node(child)));
      continue;
    }
    items.push_back({*document_, &child, child.place, name});
  }
  return items;
}

#define TESSERA_CONFIG_VALUE(T)                                                  \
  template T ConfigSection::get<T>(const Key&, const T&, const Range&);          \
  template std::optional<T> ConfigSection::require<T>(const Key&, const Range&); \
  template std::optional<T> ConfigSection::optional<T>(const Key&, const Range&);
TESSERA_CONFIG_VALUE(bool)
TESSERA_CONFIG_VALUE(std::int64_t)
TESSERA_CONFIG_VALUE(LabelId)
TESSERA_CONFIG_VALUE(double)
TESSERA_CONFIG_VALUE(std::string)
TESSERA_CONFIG_VALUE(std::vector<std::int64_t>)
TESSERA_CONFIG_VALUE(std::vector<double>)
TESSERA_CONFIG_VALUE(std::vector<std::string>)
#undef TESSERA_CONFIG_VALUE
template std::variant<std::string, std::int64_t> ConfigSection::get_or_word<std::int64_t>(
    const Key&, const std::variant<std::string, std::int64_t>&, const std::vector<std::string>&,
    const Range&);
template std::variant<std::string, double> ConfigSection::get_or_word<double>(
    const Key&, const std::variant<std::string, double>&, const std::vector<std::string>&, const Range&);

}  // namespace tessera
