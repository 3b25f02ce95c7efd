#pragma once

#include <cstdint>

#include "io/hdf5/packed_volume.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What a packing wrote.
struct PackSums {
  std::int64_t chunks = 0, empty_chunks = 0;  ///< empty: all voxels 0, not stored
  std::int64_t bytes = 0, packed_bytes = 0;
};

/// Collective. Compresses every chunk of a result, in parallel on all ranks but the root (alone: there), and
/// writes them on the root, which has `target` (elsewhere null). At most two stretches of about 4 MiB are
/// under way per worker. Errors: the same on every rank.
PackSums pack_chunks(const std::filesystem::path& source, const OutputLayout& layout, int level,
                     PackedVolume* target, const Communicator& world);

}  // namespace tessera
