#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

/// CRC-32C (Castagnoli, as in iSCSI and ext4) of `bytes`, continued from `crc` (0 to begin).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);
/// The same by tables. `crc32c` uses the processor's instruction where one exists.
std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace tessera
