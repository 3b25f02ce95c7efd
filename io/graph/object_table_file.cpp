#include "io/graph/object_table_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "io/base/crc32c.h"
#include "io/base/error.h"

namespace tessera {
namespace {

constexpr char kTableMagic[] = "TSRTABL1";

/// The first bytes of the file, little-endian like every supported machine. The clusters of each block
/// follow, int64 each, then the CRC-32C of all that, then each block's ids, uint64 each, with their CRC-32C.
struct TableHead {
  std::array<char, 8> magic{};
  std::uint32_t format = 1, reserved = 0;
  std::uint64_t blocks = 0;
  std::array<char, 64> digest{};
};
static_assert(sizeof(TableHead) == 88);

std::filesystem::path staged_name(const std::filesystem::path& file) {
  return file.string() + ".new";
}

std::vector<std::int64_t> offsets_of(std::span<const std::int64_t> clusters) {
  std::vector<std::int64_t> offsets{static_cast<std::int64_t>(sizeof(TableHead)) + 8 * std::ssize(clusters) +
                                    4};
  for (const std::int64_t count : clusters)
    offsets.push_back(offsets.back() + 8 * count + 4);
  return offsets;
}

void read_exactly(const FileDescriptor& opened, std::span<std::byte> to, std::int64_t offset,
                  const std::filesystem::path& file) {
  while (!to.empty()) {
    const ssize_t got = ::pread(opened.get(), to.data(), to.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw Error(
          fmt::format("cannot read {}: {}", file.string(), got < 0 ? errno_text(errno) : "it is too short"));
    to = to.subspan(static_cast<std::size_t>(got));
    offset += got;
  }
}

}  // namespace

void ObjectTableFile::create(const std::filesystem::path& file, const std::string& digest,
                             std::span<const std::int64_t> clusters) {
  TableHead head;
  std::memcpy(head.magic.data(), kTableMagic, head.magic.size());
  head.blocks = clusters.size();
  assert(digest.size() == head.digest.size());
  std::memcpy(head.digest.data(), digest.data(), head.digest.size());
  const auto counts = std::as_bytes(clusters);
  std::vector<std::byte> bytes(sizeof head + counts.size() + 4);
  std::memcpy(bytes.data(), &head, sizeof head);
  if (!counts.empty()) std::memcpy(bytes.data() + sizeof head, counts.data(), counts.size());
  const std::uint32_t crc = crc32c(std::span(bytes).first(bytes.size() - 4));
  std::memcpy(bytes.data() + bytes.size() - 4, &crc, sizeof crc);
  const std::filesystem::path staged = staged_name(file);
  FileDescriptor made(staged, O_RDWR | O_CREAT | O_TRUNC);
  require_free_space(staged, offsets_of(clusters).back());
  write_fully(made.get(), bytes, 0, staged);
  made.close(staged);
}

ObjectTableFile::ObjectTableFile(const std::filesystem::path& file, std::span<const std::int64_t> clusters)
    : path_(staged_name(file)), offsets_(offsets_of(clusters)), file_(path_, O_RDWR) {}

void ObjectTableFile::write(std::int64_t block, std::span<const std::uint64_t> ids) {
  const auto bytes = std::as_bytes(ids);
  const std::uint32_t crc = crc32c(bytes);
  const std::int64_t at = offsets_[static_cast<std::size_t>(block)];
  write_fully(file_.get(), bytes, at, path_);
  write_fully(file_.get(), std::as_bytes(std::span(&crc, 1)), at + std::ssize(bytes), path_);
}

void ObjectTableFile::sync() {
  sync_data(file_.get(), path_);
}

void ObjectTableFile::put_in_place(const std::filesystem::path& file) {
  tessera::put_in_place(staged_name(file), file);
}

UnfinishedTables::UnfinishedTables(const std::filesystem::path& file) : staged_(staged_name(file)) {}

UnfinishedTables::~UnfinishedTables() {
  remove_quietly(staged_);
}

ObjectTables::ObjectTables(const std::filesystem::path& file) : path_(file), file_(file, O_RDONLY) {
  TableHead head;
  read_exactly(file_, std::as_writable_bytes(std::span(&head, 1)), 0, path_);
  const std::uintmax_t size = std::filesystem::file_size(path_);
  if (std::memcmp(head.magic.data(), kTableMagic, head.magic.size()) != 0 || head.format != 1 ||
      head.blocks > size / 8)
    throw Error(fmt::format("{} is no table of objects, or its head is damaged", path_.string()));
  clusters_.resize(head.blocks);
  std::uint32_t crc = 0;
  read_exactly(file_, std::as_writable_bytes(std::span(clusters_)), sizeof head, path_);
  read_exactly(file_, std::as_writable_bytes(std::span(&crc, 1)),
               static_cast<std::int64_t>(sizeof head + 8 * head.blocks), path_);
  const std::uint32_t front = crc32c(std::as_bytes(std::span(&head, 1)));
  if (crc32c(std::as_bytes(std::span(clusters_)), front) != crc)
    throw Error(fmt::format("{} is damaged: its checksum does not match", path_.string()));
  digest_.assign(head.digest.data(), head.digest.size());
  const auto most = static_cast<std::int64_t>(size / 8);
  if (std::ranges::any_of(clusters_, [&](std::int64_t count) { return count < 0 || count > most; }))
    throw Error(fmt::format("{} is damaged: a block has an impossible number of clusters", path_.string()));
  offsets_ = offsets_of(clusters_);
  if (static_cast<std::uintmax_t>(offsets_.back()) != size)
    throw Error(fmt::format("{} has {} bytes in place of {}", path_.string(), size, offsets_.back()));
}

std::vector<std::uint64_t> ObjectTables::read(std::int64_t block) const {
  const auto at = static_cast<std::size_t>(block);
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(clusters_.at(at)));
  std::uint32_t crc = 0;
  read_exactly(file_, std::as_writable_bytes(std::span(ids)), offsets_[at], path_);
  read_exactly(file_, std::as_writable_bytes(std::span(&crc, 1)), offsets_[at] + 8 * clusters_[at], path_);
  if (crc32c(std::as_bytes(std::span(ids))) != crc)
    throw Error(fmt::format("{} is damaged: the checksum of block {} does not match", path_.string(), block));
  return ids;
}

}  // namespace tessera
