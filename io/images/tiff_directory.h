#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/images/tiff_file.h"

namespace tessera {

/// The entries of one image directory as the file has them, for tags that libtiff does not know or
/// shortens.
class TiffDirectory {
 public:
  /// `offset`: of the directory in the file. Errors: Error that begins with `what` when the file ends before
  /// the directory does.
  TiffDirectory(const TiffFile& file, std::uint64_t offset, const std::string& what);

  bool has(std::uint16_t tag) const { return entries_.count(tag) != 0; }
  /// The number of values; 0 without the tag.
  std::uint64_t count(std::uint16_t tag) const;
  /// The values of a tag of unsigned integers; none without the tag or when it has another type.
  /// Errors: Error when they lie outside the file.
  std::vector<std::uint64_t> values(std::uint16_t tag) const;
  /// The first `size` bytes of a tag's values. Errors: Error when it has fewer or they lie outside the file.
  std::vector<std::byte> bytes(std::uint16_t tag, std::size_t size) const;

 private:
  struct Entry {
    std::uint16_t type = 0;
    std::uint64_t count = 0;
    std::uint64_t values_at = 0;  ///< in the file, also when the directory itself holds the values
  };

  const TiffFile* file_;
  std::string what_;
  bool big_endian_ = false;
  std::map<std::uint16_t, Entry> entries_;
};

}  // namespace tessera
