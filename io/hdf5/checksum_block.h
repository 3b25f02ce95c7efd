#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace tessera {

/// The size of the block with a file's checksum. It is the file's first bytes, which HDF5 leaves to its users
/// (its user block). The HDF5 library may crash on a damaged file, so the checksum is compared before.
constexpr std::int64_t kChecksumBlockBytes = 512;

/// Writes the block of an HDF5 file that was created with a user block of this size, and is closed.
/// Errors: Error when the file cannot be read or written.
void write_checksum_block(const std::filesystem::path& file);

/// Whether the bytes of a file begin with such a block.
bool has_checksum_block(std::span<const std::byte> bytes);

/// Compares the bytes of a whole file with its block; `name` is for messages. Errors: Error when the file is
/// cut short or longer, when its format is newer, or when any byte differs.
void require_checksum(std::span<const std::byte> bytes, const std::string& name);

/// The same for a file, if it has such a block. Errors: Error, also when the file cannot be read.
void require_checksum_if_any(const std::filesystem::path& file);

}  // namespace tessera
