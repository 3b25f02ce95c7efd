#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "io/images/image_options.h"

namespace tessera {

/// Whether `a` comes before `b` in natural order, which compares runs of digits as numbers: "s2.png" before
/// "s10.png".
bool natural_less(std::string_view a, std::string_view b);

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Whether the name ends in .png, in any case of letters.
bool is_png_name(const std::filesystem::path& file);
/// Whether the name ends in .tif or .tiff, in any case of letters.
bool is_tiff_name(const std::filesystem::path& file);

/// The files of a folder that are the sections of a stack, in natural order.
struct SectionFiles {
  /// One per section; an empty path is a missing section that is to be black. A missing section that repeats
  /// the one before it has that one's path.
  std::vector<std::filesystem::path> files;
  std::int64_t ignored = 0;  ///< entries that are passed over: hidden, or neither PNG nor TIFF by name
};

/// Lists a folder. Errors: Error when it has no images, when an image's name belongs to a dangling link or to
/// something that is no file, or when the names are two series with the same numbers (raw_1.png and
/// label_1.png); UsageError when two files are the same section (s1.tif and s1.png), or when numbers are
/// missing among the names and `missing` does not decide what becomes of them.
SectionFiles list_sections(const std::filesystem::path& folder, MissingSections missing);

}  // namespace tessera
