#pragma once

#include <cstdint>
#include <filesystem>

#include "io/hdf5/packed_volume.h"
#include "pipeline/blocks/coordinator.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// What a packing wrote.
struct PackSums {
  std::int64_t chunks = 0, empty_chunks = 0;  ///< empty: all voxels 0, not stored
  std::int64_t bytes = 0, packed_bytes = 0;
};

/// Collective. Compresses every chunk of a result, in parallel on all ranks but the root (alone: there), and
/// writes them on the root, which has `target` (elsewhere null). The sums are the root's. Errors: AgreedError
/// on every rank, naming the chunks that could not be packed; Error on the root alone when a worker is
/// silent.
PackSums pack_chunks(const std::filesystem::path& source, const OutputLayout& layout, int level,
                     PackedVolume* target, const CoordinatorOptions& limits, const Communicator& world);

}  // namespace tessera
