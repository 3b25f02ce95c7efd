#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "workers/mpi/communicator.h"

namespace tessera {

constexpr std::int64_t kExchangeBytes = std::int64_t{512} << 20;

/// Collective. `bytes` holds what goes to rank 0, then to rank 1, and so on; `counts`: the bytes for each.
/// Returns what came from rank 0, then from rank 1, and so on, and sets `counts` to the bytes from each. Any
/// number of bytes: a rank sends them in slices of at most `slice` bytes, but at least one byte to each rank.
std::vector<std::byte> exchange_bytes(const Communicator& world, std::span<const std::byte> bytes,
                                      std::vector<std::int64_t>& counts, std::int64_t slice = kExchangeBytes);

}  // namespace tessera
