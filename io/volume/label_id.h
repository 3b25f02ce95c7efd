#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tessera {

/// An id of a label volume as open_labels() reads it: of the whole range of 64 bits. -1 of signed labels is
/// 2^64 - 1.
using LabelId = std::uint64_t;

/// The id in decimal digits, -2^63 to 2^64 - 1; none for other text.
std::optional<LabelId> parse_label_id(const std::string& text);

/// "7". An id that is a negative number of 32 bits: "18446744073709551615 (-1 in signed labels)".
std::string label_id_text(LabelId id);

/// Whether the id is a negative number of 32 bits: no cell and no class, but a mark.
constexpr bool is_negative_id(LabelId id) {
  return id >= std::uint64_t{0} - (std::uint64_t{1} << 31);
}

}  // namespace tessera
