#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera {

/// The length in bytes of the UTF-8 character that `text` begins with; 0 where it begins with none (RFC 3629:
/// no overlong forms, no surrogates, nothing beyond U+10FFFF).
std::size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

/// Any bytes, such as a path, as UTF-8. Each byte that belongs to no UTF-8 character becomes `\xHH` with two
/// hexadecimal digits, as in `m\xFCller`. A backslash before such an `xHH` of the original becomes `\x5C`.
/// All other texts stay as they are.
std::string utf8_text(std::string_view bytes);

/// `bytes` where they are UTF-8, utf8_text of them where they are not: for texts that are only shown.
std::string shown_as_utf8(std::string_view bytes);

/// The inverse of utf8_text.
std::string bytes_of_utf8_text(std::string_view text);

}  // namespace tessera
