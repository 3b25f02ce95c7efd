#pragma once

#include <cstdint>
#include <filesystem>

#include "io/hdf5/packed_volume.h"
#include "pipeline/blocks/coordinator.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// The totals of a packing.
struct PackSums {
  std::int64_t chunks = 0, empty_chunks = 0;  ///< empty: all voxels 0, not stored
  std::int64_t bytes = 0, packed_bytes = 0;
};

/// Collective. Compresses every chunk of a result on all ranks but the root, or on the root if it is the only
/// rank. The root writes the chunks to `target`, which is null on the other ranks. Returns the totals on the
/// root. Errors: AgreedError on every rank, naming the chunks that could not be packed; Error on the root
/// alone when a worker is silent.
PackSums pack_chunks(const std::filesystem::path& source, const OutputLayout& layout, int level,
                     PackedVolume* target, const CoordinatorOptions& limits, const Communicator& world);

}  // namespace tessera
