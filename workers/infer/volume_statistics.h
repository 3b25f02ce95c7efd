#pragma once

#include <vector>

#include "io/volume/volume.h"
#include "workers/mpi/communicator.h"
#include "workers/network/normalisation.h"

namespace tessera {

/// Collective. Mean and standard deviation of the raw values of each section: of all its voxels while the
/// layer of stored chunks that it is in has at most 64 of them, else of 64 evenly spread ones. The layers are
/// shared out over the ranks, and only those that get some open the file; the result is the same for any
/// number of them. A section without contrast has the deviation 1. Errors: AgreedError, for a NaN too.
std::vector<Normalisation> section_statistics(const VolumeInfo& raw, const Communicator& world);

/// Collective. The same of the whole volume: of at most 256 evenly spread layers of stored chunks.
Normalisation volume_statistics(const VolumeInfo& raw, const Communicator& world);

}  // namespace tessera
