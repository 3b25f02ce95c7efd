#include "pipeline/config/yaml_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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
  static std::optional<bool> parse(const std::string& text) { return parse_bool(text); }
};
template <>
struct Scalar<std::int64_t> {
  static constexpr const char* kName = "a whole number in decimal digits";
  static std::optional<std::int64_t> parse(const std::string& text) { return parse_integer(text); }
};
template <>
struct Scalar<LabelId> {
  static constexpr const char* kName =
      "the id of a label: a whole number from -9223372036854775808 to 18446744073709551615 in decimal digits";
  static std::optional<LabelId> parse(const std::string& text) { return parse_id(text); }
};
template <>
struct Scalar<double> {
  static constexpr const char* kName = "a finite number";
  static std::optional<double> parse(const std::string& text) { return parse_number(text); }
};
template <>
struct Scalar<std::string> {
  static constexpr const char* kName = "text";
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
    const std::optional<T> value = usable ? Scalar<T>::parse(node.text) : std::nullopt;
    if (!value) return reject<T>(node, key, fmt::format("{} is not {}", describe(node), Scalar<T>::kName));
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
                                   describe(node), Scalar<Element>::kName));
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

template <ConfigValue T>
T ConfigSection::get(const std::string& key, const T& fallback, const Range& range) {
  const YamlNode* node = consume(key);
  const T value = node == nullptr ? fallback : convert<T>(*node, key, range).value_or(fallback);
  record(key, to_yaml(value));
  return value;
}

template <ConfigValue T>
T ConfigSection::require(const std::string& key, const Range& range) {
  const YamlNode* node = consume(key);
  if (node == nullptr) {
    document_->add_problem(place_, name_of(key), "is missing, and it has no default");
    return T{};
  }
  const T value = convert<T>(*node, key, range).value_or(T{});
  record(key, to_yaml(value));
  return value;
}

template <ConfigValue T>
std::optional<T> ConfigSection::optional(const std::string& key, const Range& range) {
  const YamlNode* node = consume(key);
  if (node == nullptr) return std::nullopt;
  const std::optional<T> value = convert<T>(*node, key, range);
  if (value) record(key, to_yaml(*value));
  return value;
}

std::string ConfigSection::choice(const std::string& key, const std::string& fallback,
                                  const std::vector<std::string>& names) {
  const YamlNode* node = consume(key);
  std::string value = fallback;
  if (node != nullptr) {
    if (const auto text = convert<std::string>(*node, key, {})) {
      if (std::find(names.begin(), names.end(), *text) != names.end()) {
        value = *text;
      } else {
        reject<std::string>(
            *node, key,
            fmt::format("'{}' is none of {}{}", *text, fmt::join(names, ", "), suggestion(*text, names)));
      }
    }
  }
  record(key, to_yaml(value));
  return value;
}

template <ConfigNumber T>
std::variant<std::string, T> ConfigSection::get_or_word(const std::string& key,
                                                        const std::variant<std::string, T>& fallback,
                                                        const std::vector<std::string>& names,
                                                        const Range& range) {
  const YamlNode* node = consume(key);
  std::variant<std::string, T> value = fallback;
  if (node != nullptr) {
    const bool scalar = node->kind == Kind::scalar;
    if (scalar && std::find(names.begin(), names.end(), node->text) != names.end()) {
      value = node->text;
    } else if (scalar && !node->quoted && Scalar<T>::parse(node->text)) {
      if (const auto number = convert<T>(*node, key, range)) value = *number;
    } else {
      reject<T>(*node, key,
                fmt::format("{} is neither {} nor {}{}", describe(*node), Scalar<T>::kName,
                            fmt::join(names, ", "), scalar ? suggestion(node->text, names) : ""));
    }
  }
  record(key, std::visit([](const auto& one) { return to_yaml(one); }, value));
  return value;
}

ConfigSection ConfigSection::section(const std::string& key) {
  const YamlNode* node = consume(key);
  document_->line(path_, key) = {ConfigState::Line::Kind::section, key, {}, 0};
  document_->lines[name_of(key)];
  if (node == nullptr) return {*document_, nullptr, place_, name_of(key)};
  if (node->kind != Kind::map && node->kind != Kind::null) {
    reject<bool>(*node, key, fmt::format("{} where a section (key: value lines) is needed", describe(*node)));
  }
  return {*document_, node->kind == Kind::map ? node : nullptr, node->key_place, name_of(key)};
}

std::vector<ConfigSection> ConfigSection::sections(const std::string& key) {
  const YamlNode* node = consume(key);
  if (node == nullptr) return {};
  if (node->kind != Kind::list) {
    reject<bool>(*node, key,
                 fmt::format("{} where a list of sections (- key: value lines) is needed", describe(*node)));
    return {};
  }
  document_->line(path_, key) = {ConfigState::Line::Kind::list, key, {}, node->children.size()};
  std::vector<ConfigSection> items;
  for (std::size_t i = 0; i < node->children.size(); ++i) {
    const YamlNode& child = node->children[i];
    const std::string name = item_name(name_of(key), i);
    document_->lines[name];
    if (child.kind != Kind::map) {
      reject<bool>(child, item_name(key, i),
                   fmt::format("{} where a section (key: value lines) is needed", describe(child)));
      continue;
    }
    items.push_back({*document_, &child, child.place, name});
  }
  return items;
}

#define TESSERA_CONFIG_VALUE(T)                                                 \
  template T ConfigSection::get<T>(const std::string&, const T&, const Range&); \
  template T ConfigSection::require<T>(const std::string&, const Range&);       \
  template std::optional<T> ConfigSection::optional<T>(const std::string&, const Range&);
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
    const std::string&, const std::variant<std::string, std::int64_t>&, const std::vector<std::string>&,
    const Range&);
template std::variant<std::string, double> ConfigSection::get_or_word<double>(
    const std::string&, const std::variant<std::string, double>&, const std::vector<std::string>&,
    const Range&);

}  // namespace tessera
