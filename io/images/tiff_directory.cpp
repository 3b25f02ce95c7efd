#include "io/images/tiff_directory.h"

#include <fmt/format.h>
#include <tiff.h>

#include <span>

#include "io/base/error.h"

namespace tessera {
namespace {

std::uint64_t integer_at(std::span<const std::byte> bytes, std::size_t at, std::size_t size,
                         bool big_endian) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const std::byte next = bytes[at + (big_endian ? i : size - 1 - i)];
    value = value << 8 | std::to_integer<std::uint64_t>(next);
  }
  return value;
}

std::uint64_t bytes_of_type(std::uint16_t type) {
  switch (type) {
    case TIFF_BYTE:
    case TIFF_ASCII:
    case TIFF_SBYTE:
    case TIFF_UNDEFINED:
      return 1;
    case TIFF_SHORT:
    case TIFF_SSHORT:
      return 2;
    case TIFF_LONG:
    case TIFF_SLONG:
    case TIFF_FLOAT:
    case TIFF_IFD:
      return 4;
    default:
      return 8;
  }
}

}  // namespace

TiffDirectory::TiffDirectory(const TiffFile& file, std::uint64_t offset, const std::string& what)
    : file_(&file), what_(what), big_endian_(file.is_big_endian()) {
  const bool big = file.is_bigtiff();
  const std::size_t count_bytes = big ? 8 : 2, entry_bytes = big ? 20 : 12, inline_bytes = big ? 8 : 4;
  std::vector<std::byte> head(count_bytes);
  file.read_at(offset, head, what);
  const std::uint64_t entries = integer_at(head, 0, count_bytes, big_endian_);
  if (entries > 65535) throw Error(what + ": it has too many tags (is the file damaged?)");
  std::vector<std::byte> body(static_cast<std::size_t>(entries) * entry_bytes + inline_bytes);
  file.read_at(offset + count_bytes, body, what);  // with the offset of the next directory
  for (std::uint64_t i = 0; i < entries; ++i) {
    const std::size_t at = static_cast<std::size_t>(i) * entry_bytes;
    const std::size_t value = at + entry_bytes - inline_bytes;
    Entry entry;
    entry.type = static_cast<std::uint16_t>(integer_at(body, at + 2, 2, big_endian_));
    entry.count = integer_at(body, at + 4, big ? 8 : 4, big_endian_);
    const bool is_inside = entry.count <= inline_bytes / bytes_of_type(entry.type);
    entry.values_at =
        is_inside ? offset + count_bytes + value : integer_at(body, value, inline_bytes, big_endian_);
    entries_.emplace(static_cast<std::uint16_t>(integer_at(body, at, 2, big_endian_)), entry);
  }
}

std::uint64_t TiffDirectory::count(std::uint16_t tag) const {
  const auto found = entries_.find(tag);
  return found == entries_.end() ? 0 : found->second.count;
}

std::vector<std::uint64_t> TiffDirectory::values(std::uint16_t tag) const {
  const auto found = entries_.find(tag);
  if (found == entries_.end()) return {};
  const Entry& entry = found->second;
  if (entry.type != TIFF_BYTE && entry.type != TIFF_SHORT && entry.type != TIFF_LONG &&
      entry.type != TIFF_LONG8)
    return {};
  const std::uint64_t size = bytes_of_type(entry.type);
  if (entry.count > file_->bytes() / size) {
    throw Error(fmt::format("{}: its tag {} has {} values, more than the file can hold (is it damaged?)",
                            what_, tag, entry.count));
  }
  const std::vector<std::byte> stored = bytes(tag, static_cast<std::size_t>(entry.count * size));
  std::vector<std::uint64_t> values(static_cast<std::size_t>(entry.count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = integer_at(stored, i * size, size, big_endian_);
  return values;
}

std::vector<std::byte> TiffDirectory::bytes(std::uint16_t tag, std::size_t size) const {
  const auto found = entries_.find(tag);
  const std::uint64_t stored =
      found == entries_.end() ? 0 : found->second.count * bytes_of_type(found->second.type);
  if (stored < size) throw Error(fmt::format("{}: its tag {} is too short (is it damaged?)", what_, tag));
  std::vector<std::byte> result(size);
  file_->read_at(found->second.values_at, result, what_);
  return result;
}

}  // namespace tessera
