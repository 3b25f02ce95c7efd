#include "io/base/zip_check.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "io/base/error.h"

namespace tessera {
namespace {

// Signatures and sizes: .ZIP File Format Specification 6.3.10 (APPNOTE.TXT), sections 4.3.6 to 4.3.16.
constexpr std::uint32_t kLocalHeader = 0x04034b50, kDescriptor = 0x08074b50, kCentralHeader = 0x02014b50,
                        kDirectoryEnd64 = 0x06064b50, kLocator64 = 0x07064b50, kDirectoryEnd = 0x06054b50;
constexpr std::uint64_t kLocalBytes = 30, kCentralBytes = 46, kEnd64Bytes = 56, kLocator64Bytes = 20,
                        kEndBytes = 22;
constexpr std::uint32_t kIn64 = 0xFFFFFFFF;  // the value is in the field of 64 bits
constexpr std::uint16_t kStored = 0, kDeflated = 8, kHasDescriptor = 1 << 3, kEncrypted = 1 << 0;
constexpr std::uint16_t kExtra64 = 1, kExtraPadding = 0x4246;  // "FB": LibTorch's padding to an alignment

/// An entry as the central directory describes it.
struct Entry {
  std::string name;
  std::uint64_t header_at = 0, stored_bytes = 0, bytes = 0;
  std::uint32_t crc = 0;
  std::uint16_t version_needed = 0, flags = 0, method = 0;
  std::uint32_t date_time = 0;
  bool has_plain_attributes = false;  ///< no program version, date and attributes, as LibTorch writes it
};

/// Where the central directory is.
struct Directory {
  std::uint64_t begin = 0, end = 0, entries = 0;
};

class ZipCheck {
 public:
  ZipCheck(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  void run() {
    const Directory directory = find_directory();
    std::vector<Entry> entries = read_directory(directory);
    std::ranges::sort(entries, {}, &Entry::header_at);
    require_uniform(entries);
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].header_at != at) fail(entries[i].name, "its header is elsewhere");
      at = i + 1 < entries.size() ? entries[i + 1].header_at : directory.begin;
      check_entry(entries[i], at);
    }
    if (at != directory.begin) fail("", "bytes that belong to no entry are in it");
  }

 private:
  [[noreturn]] void fail(const std::string& entry, const std::string& why) const {
    throw Error(fmt::format("{} is damaged: {}{} (copy or export it again)", name_,
                            entry.empty() ? "" : "its entry '" + entry + "': ", why));
  }

  template <class T>
  T value(std::uint64_t at) const {
    if (at > bytes_.size() || bytes_.size() - at < sizeof(T)) fail("", "it is cut short");
    T read;
    std::memcpy(&read, bytes_.data() + at, sizeof read);  // little-endian like every supported machine
    return read;
  }
  std::span<const std::byte> part(std::uint64_t at, std::uint64_t size, const std::string& entry) const {
    if (at > bytes_.size() || size > bytes_.size() - at) fail(entry, "it exceeds the file");
    return bytes_.subspan(at, size);
  }

  /// The position of the end record. It is the last one whose comment ends with the file.
  std::uint64_t find_end() const {
    constexpr std::uint64_t kLongestComment = 0xFFFF;
    for (std::uint64_t comment = 0; comment <= kLongestComment && kEndBytes + comment <= bytes_.size();
         ++comment) {
      const std::uint64_t at = bytes_.size() - kEndBytes - comment;
      if (value<std::uint32_t>(at) == kDirectoryEnd && value<std::uint16_t>(at + 20) == comment) return at;
    }
    throw Error(
        fmt::format("{} is no TorchScript file, or a damaged one: it has no end of a zip archive", name_));
  }

  Directory find_directory() const {
    const std::uint64_t end = find_end();
    const std::uint64_t entries = value<std::uint16_t>(end + 10), size = value<std::uint32_t>(end + 12),
                        begin = value<std::uint32_t>(end + 16);
    if (value<std::uint32_t>(end + 4) != 0 || value<std::uint16_t>(end + 8) != entries)
      fail("", "its end record is wrong");
    if (end < kLocator64Bytes || value<std::uint32_t>(end - kLocator64Bytes) != kLocator64) {
      if (begin + size != end) fail("", "its end record does not fit its directory");
      return {begin, begin + size, entries};
    }
    const std::uint64_t locator = end - kLocator64Bytes, end64 = value<std::uint64_t>(locator + 8);
    if (value<std::uint32_t>(locator + 4) != 0 || value<std::uint32_t>(locator + 16) != 1 ||
        locator < kEnd64Bytes || end64 != locator - kEnd64Bytes ||
        value<std::uint32_t>(end64) != kDirectoryEnd64 ||
        value<std::uint64_t>(end64 + 4) != kEnd64Bytes - 12 || value<std::uint16_t>(end64 + 12) != 0x031E ||
        value<std::uint16_t>(end64 + 14) != 45 || value<std::uint64_t>(end64 + 16) != 0 ||
        value<std::uint64_t>(end64 + 24) != value<std::uint64_t>(end64 + 32)) {
      fail("", "its 64-bit end record is wrong");
    }
    const Directory directory{value<std::uint64_t>(end64 + 48),
                              value<std::uint64_t>(end64 + 48) + value<std::uint64_t>(end64 + 40),
                              value<std::uint64_t>(end64 + 32)};
    const auto agrees = [](std::uint64_t narrow, std::uint64_t wide, std::uint64_t most) {
      return narrow == wide || (narrow == most && wide >= most);
    };
    if (directory.begin > directory.end || directory.end != end64 ||
        !agrees(entries, directory.entries, 0xFFFF) ||
        !agrees(size, directory.end - directory.begin, kIn64) || !agrees(begin, directory.begin, kIn64))
      fail("", "its end records do not fit its directory");
    return directory;
  }

  std::vector<Entry> read_directory(const Directory& directory) const {
    std::vector<Entry> entries;
    std::set<std::string> names;
    std::uint64_t at = directory.begin;
    while (at < directory.end) {
      if (directory.end - at < kCentralBytes || value<std::uint32_t>(at) != kCentralHeader)
        fail(fmt::format("number {}", entries.size()), "its place in the directory is damaged");
      entries.push_back(read_central(at));
      if (!names.insert(entries.back().name).second) fail(entries.back().name, "it exists twice");
      at += kCentralBytes + value<std::uint16_t>(at + 28) + value<std::uint16_t>(at + 30) +
            value<std::uint16_t>(at + 32);
    }
    if (at != directory.end || entries.size() != directory.entries)
      fail("",
           fmt::format("its directory has {} entries and should have {}", entries.size(), directory.entries));
    return entries;
  }

  Entry read_central(std::uint64_t at) const {
    Entry entry;
    const std::uint16_t name_bytes = value<std::uint16_t>(at + 28),
                        extra_bytes = value<std::uint16_t>(at + 30);
    const auto name = part(at + kCentralBytes, name_bytes, "");
    entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    entry.version_needed = value<std::uint16_t>(at + 6);
    entry.flags = value<std::uint16_t>(at + 8);
    entry.method = value<std::uint16_t>(at + 10);
    entry.date_time = value<std::uint32_t>(at + 12);
    entry.crc = value<std::uint32_t>(at + 16);
    entry.stored_bytes = value<std::uint32_t>(at + 20);
    entry.bytes = value<std::uint32_t>(at + 24);
    entry.header_at = value<std::uint32_t>(at + 42);
    entry.has_plain_attributes = value<std::uint16_t>(at + 4) == 0 && entry.date_time == 0 &&
                                 value<std::uint16_t>(at + 36) == 0 && value<std::uint32_t>(at + 38) == 0 &&
                                 value<std::uint16_t>(at + 32) == 0;
    if (value<std::uint16_t>(at + 34) != 0) fail(entry.name, "it is on another disk");
    const std::array wide{&entry.bytes, &entry.stored_bytes, &entry.header_at};
    for_each_extra(at + kCentralBytes + name_bytes, extra_bytes, entry.name,
                   [&](std::uint16_t id, std::uint64_t from, std::uint64_t size) {
                     if (id != kExtra64) return;
                     for (std::uint64_t* field : wide) {
                       if (*field != kIn64) continue;
                       if (size < 8) fail(entry.name, "its 64-bit sizes are missing");
                       *field = value<std::uint64_t>(from);
                       from += 8;
                       size -= 8;
                     }
                   });
    if (entry.stored_bytes > bytes_.size()) fail(entry.name, "it exceeds the file");
    return entry;
  }

  /// Calls `take` with the id, the position and the size of each extra field.
  template <class Take>
  void for_each_extra(std::uint64_t at, std::uint64_t size, const std::string& entry, Take take) const {
    part(at, size, entry);
    while (size > 0) {
      const std::uint64_t here = size < 4 ? 0 : value<std::uint16_t>(at + 2);
      if (size < 4 || here > size - 4) fail(entry, "its extra fields are damaged");
      take(value<std::uint16_t>(at), at + 4, here);
      at += 4 + here;
      size -= 4 + here;
    }
  }

  /// LibTorch writes the fields that no reader uses as zeros, in all entries.
  void require_uniform(const std::vector<Entry>& entries) const {
    const auto plain = std::ranges::count_if(entries, &Entry::has_plain_attributes);
    if (plain == 0) return;
    for (const Entry& entry : entries) {
      if (!entry.has_plain_attributes) fail(entry.name, "its place in the directory is damaged");
    }
  }

  /// `end`: where the next header or the directory begins.
  void check_entry(const Entry& entry, std::uint64_t end) const {
    const std::uint64_t at = entry.header_at;
    if (end < at || end - at < kLocalBytes || value<std::uint32_t>(at) != kLocalHeader)
      fail(entry.name, "its header is damaged");
    const std::uint64_t name_bytes = value<std::uint16_t>(at + 26),
                        extra_bytes = value<std::uint16_t>(at + 28);
    const auto name = part(at + kLocalBytes, name_bytes, entry.name);
    const bool same_name =
        name.size() == entry.name.size() && std::memcmp(name.data(), entry.name.data(), name.size()) == 0;
    if (!same_name || value<std::uint16_t>(at + 4) != entry.version_needed ||
        value<std::uint16_t>(at + 6) != entry.flags || value<std::uint16_t>(at + 8) != entry.method ||
        value<std::uint32_t>(at + 10) != entry.date_time)
      fail(entry.name, "its header does not agree with the directory");
    if ((entry.flags & kEncrypted) != 0) fail(entry.name, "it is encrypted");
    check_local_sizes(entry);
    for_each_extra(at + kLocalBytes + name_bytes, extra_bytes, entry.name,
                   [&](std::uint16_t id, std::uint64_t from, std::uint64_t size) {
                     const auto padding = part(from, size, entry.name);
                     const bool uniform =
                         std::ranges::all_of(padding, [](std::byte b) { return b == std::byte{'Z'}; });
                     if (id == kExtraPadding && entry.has_plain_attributes && !uniform)
                       fail(entry.name, "its padding is damaged");
                     if (id != kExtraPadding && entry.has_plain_attributes && id != kExtra64)
                       fail(entry.name, "its extra fields are damaged");
                   });
    const std::uint64_t data = at + kLocalBytes + name_bytes + extra_bytes;
    if (data > end || entry.stored_bytes > end - data) fail(entry.name, "it exceeds its place");
    check_descriptor(entry, data + entry.stored_bytes, end);
    check_data(entry, bytes_.subspan(data, entry.stored_bytes));
  }

  /// Sizes and CRC of the header: those of the directory; with a descriptor behind the data, also zeros.
  void check_local_sizes(const Entry& entry) const {
    const std::uint64_t at = entry.header_at;
    const std::uint32_t crc = value<std::uint32_t>(at + 14), stored = value<std::uint32_t>(at + 18),
                        size = value<std::uint32_t>(at + 22);
    if ((entry.flags & kHasDescriptor) != 0 && crc == 0 && stored == 0 && size == 0) return;
    const auto agrees = [](std::uint32_t narrow, std::uint64_t wide) {
      return narrow == kIn64 || narrow == wide;
    };
    if (crc != entry.crc || !agrees(stored, entry.stored_bytes) || !agrees(size, entry.bytes))
      fail(entry.name, "its header does not agree with the directory");
  }

  /// The bytes between the data and the next header: nothing, or a descriptor that agrees with the directory.
  void check_descriptor(const Entry& entry, std::uint64_t at, std::uint64_t end) const {
    const std::uint64_t size = end - at;
    if ((entry.flags & kHasDescriptor) == 0) {
      if (size != 0) fail(entry.name, "bytes that belong to no entry follow");
      return;
    }
    const bool marked = size == 16 || size == 24, wide = size == 20 || size == 24;
    if (!marked && size != 12 && size != 20) fail(entry.name, "its end is damaged");
    if (marked && value<std::uint32_t>(at) != kDescriptor) fail(entry.name, "its end is damaged");
    at += marked ? 4 : 0;
    const std::uint64_t stored = wide ? value<std::uint64_t>(at + 4) : value<std::uint32_t>(at + 4),
                        whole = wide ? value<std::uint64_t>(at + 12) : value<std::uint32_t>(at + 8);
    if (value<std::uint32_t>(at) != entry.crc || stored != entry.stored_bytes || whole != entry.bytes)
      fail(entry.name, "its end does not agree with the directory");
  }

  void check_data(const Entry& entry, std::span<const std::byte> data) const {
    std::uint32_t crc = 0;
    if (entry.method == kStored) {
      if (entry.bytes != entry.stored_bytes) fail(entry.name, "its sizes do not agree");
      crc = static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(data.data()), data.size()));
    } else if (entry.method == kDeflated) {
      crc = inflated_crc(entry, data);
    } else {
      fail(entry.name, fmt::format("it is compressed by the method {}; 0 and 8 are read", entry.method));
    }
    if (crc != entry.crc) fail(entry.name, "its checksum does not match");
  }

  /// Inflates the data, a part at a time, and stops where it is longer than the entry says.
  std::uint32_t inflated_crc(const Entry& entry, std::span<const std::byte> data) const {
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw Error(name_ + ": zlib cannot start");
    std::vector<Bytef> out(std::size_t{1} << 18);
    std::uint64_t made = 0;
    uLong crc = 0;
    int status = Z_OK;
    while (status == Z_OK && made <= entry.bytes) {
      if (stream.avail_in == 0 && !data.empty()) {
        const auto next = data.first(std::min<std::size_t>(data.size(), std::size_t{1} << 30));
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(next.data()));
        stream.avail_in = static_cast<uInt>(next.size());
        data = data.subspan(next.size());
      }
      stream.next_out = out.data();
      stream.avail_out = static_cast<uInt>(out.size());
      status = inflate(&stream, Z_NO_FLUSH);
      const std::size_t got = out.size() - stream.avail_out;
      crc = crc32_z(crc, out.data(), got);
      made += got;
    }
    const bool whole = status == Z_STREAM_END && stream.avail_in == 0 && data.empty();
    inflateEnd(&stream);
    if (!whole || made != entry.bytes) fail(entry.name, "its compressed data is damaged");
    return static_cast<std::uint32_t>(crc);
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
};

}  // namespace

void require_intact_zip(std::span<const std::byte> bytes, const std::string& name) {
  ZipCheck(bytes, name).run();
}

}  // namespace tessera
