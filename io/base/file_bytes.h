#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// The bytes of a file. Errors: Error when it is missing, unreadable or a folder.
std::vector<std::byte> read_file_bytes(const std::filesystem::path& file);

/// The text of a file. Errors: Error when it cannot be read or has more than `most_bytes`.
std::string file_text(const std::filesystem::path& file, std::int64_t most_bytes);

/// Writes a text file under another name, then renames it, so that a killed process leaves the old file or
/// the new one. Creates the file's folder. Errors: Error.
void write_text_file(const std::filesystem::path& file, std::string_view text);
/// Makes swapped arguments a compile error: a text is never taken for a path.
template <class NotPath, class Text>
requires(!std::same_as<NotPath, std::filesystem::path>) void write_text_file(const NotPath& file,
                                                                             const Text& text) = delete;

}  // namespace tessera
