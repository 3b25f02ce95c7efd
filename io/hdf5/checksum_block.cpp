#include "io/hdf5/checksum_block.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <fstream>
#include <string_view>
#include <vector>

#include "io/base/crc32c.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"

namespace tessera {
namespace {

constexpr std::string_view kMagic = "TSRCKPT1";

/// The fields at the begin of the block, little-endian like every supported machine. The rest is zeros.
struct StoredBlock {
  std::array<char, 8> magic;
  std::uint32_t version;
  std::uint32_t block_bytes;
  std::uint64_t file_bytes;
  std::uint32_t crc;  ///< CRC-32C of the file's bytes before and after this field
  std::uint32_t reserved;
};
constexpr std::size_t kCrcAt = offsetof(StoredBlock, crc), kCrcEnd = kCrcAt + sizeof(std::uint32_t);
static_assert(kCrcAt == 24 && sizeof(StoredBlock) == 32);

std::uint32_t crc_of(std::span<const std::byte> bytes) {
  return crc32c(bytes.subspan(kCrcEnd), crc32c(bytes.first(kCrcAt)));
}

}  // namespace

void write_checksum_block(const std::filesystem::path& file) {
  std::vector<std::byte> bytes = read_file_bytes(file);
  if (bytes.size() <= static_cast<std::size_t>(kChecksumBlockBytes))
    throw Error(fmt::format("cannot finish {}: it has only {} bytes", file.string(), bytes.size()));
  StoredBlock block{{}, 1, kChecksumBlockBytes, bytes.size(), 0, 0};
  std::memcpy(block.magic.data(), kMagic.data(), kMagic.size());
  std::memcpy(bytes.data(), &block, kCrcAt);
  const std::uint32_t crc = crc_of(bytes);
  std::memcpy(bytes.data() + kCrcAt, &crc, sizeof crc);
  FileDescriptor out(file, O_WRONLY);
  write_fully(out.get(), std::span(bytes).first(kChecksumBlockBytes), 0, file);
  sync_data(out.get(), file);
  out.close(file);
}

bool has_checksum_block(std::span<const std::byte> bytes) {
  return bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

void require_checksum(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < sizeof(StoredBlock)) throw Error(fmt::format("{} is damaged: it is cut short", name));
  StoredBlock block;
  std::memcpy(&block, bytes.data(), sizeof block);
  if (block.file_bytes != bytes.size()) {
    throw Error(fmt::format("{} is damaged: it has {} bytes and should have {}", name, bytes.size(),
                            block.file_bytes));
  }
  if (crc_of(bytes) != block.crc)
    throw Error(fmt::format("{} is damaged: its checksum does not match", name));
  if (block.version != 1)
    throw Error(fmt::format("{} has format {}; this tessera reads format 1", name, block.version));
}

void require_checksum_if_any(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::array<char, kMagic.size()> begin{};
  if (!in.read(begin.data(), begin.size())) return;  // what opens the file says why it cannot be read
  if (has_checksum_block(std::as_bytes(std::span(begin))))
    require_checksum(read_file_bytes(file), file.string());
}

}  // namespace tessera
