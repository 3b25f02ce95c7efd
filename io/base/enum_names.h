#pragma once

#include <array>
#include <cassert>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace tessera {

/// A value of an enum and its name in experiment files, messages and result files.
template <class E>
struct EnumName {
  E value;
  std::string_view name;
};

/// An enum with one table of names, which stands beside it:
///
///     constexpr auto enum_names(Padding) {
///       return std::to_array<EnumName<Padding>>({{Padding::valid, "valid"}, {Padding::same, "same"}});
///     }
template <class E>
concept NamedEnum = std::is_enum_v<E> && requires(E value) {
  enum_names(value);
};

/// The name of a value, which must be in the table.
template <NamedEnum E>
std::string name_of(E value) {
  for (const EnumName<E>& entry : enum_names(value)) {
    if (entry.value == value) return std::string(entry.name);
  }
  assert(false && "the table of names lacks this value");
  return {};
}

/// The value of a name; none when the table lacks it.
template <NamedEnum E>
std::optional<E> value_named(std::string_view name) {
  for (const EnumName<E>& entry : enum_names(E{})) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

/// All values, in the order of the table.
template <NamedEnum E>
std::vector<E> values_of() {
  std::vector<E> values;
  for (const EnumName<E>& entry : enum_names(E{}))
    values.push_back(entry.value);
  return values;
}

/// The names of `values`, in their order: for a message, or for nearest_word().
template <NamedEnum E>
std::vector<std::string> names_of(const std::vector<E>& values = values_of<E>()) {
  std::vector<std::string> names;
  names.reserve(values.size());
  for (const E value : values)
    names.push_back(name_of(value));
  return names;
}

}  // namespace tessera
