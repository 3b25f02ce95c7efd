#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

/// CRC-32C (Castagnoli, as iSCSI and ext4 use it) of `bytes`, continuing from `crc` (0 to begin).
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc = 0);
/// The same without the processor's instruction for it, which `crc32c` uses where there is one.
std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t crc = 0);

}  // namespace tessera
