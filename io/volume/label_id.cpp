#include "io/volume/label_id.h"

#include <fmt/format.h>

#include <charconv>

namespace tessera {
namespace {

template <class T>
std::optional<T> whole_number(const std::string& text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<LabelId> parse_label_id(const std::string& text) {
  if (const auto id = whole_number<std::uint64_t>(text)) return *id;
  if (const auto id = whole_number<std::int64_t>(text)) return static_cast<LabelId>(*id);
  return std::nullopt;
}

std::string label_id_text(LabelId id) {
  if (!is_negative_id(id)) return fmt::format("{}", id);
  return fmt::format("{} ({} in signed labels)", id, static_cast<std::int64_t>(id));
}

}  // namespace tessera
