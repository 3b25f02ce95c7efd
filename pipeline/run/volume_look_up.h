#pragma once

#include <filesystem>
#include <vector>

#include "io/volume/volume.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Collective. The description of a volume. Only the root opens the file, so that the load on the file system
/// does not grow with the number of ranks. Errors, on every rank: AgreedError (read_volume_info).
VolumeInfo look_up_volume(const DatasetName& name, const Communicator& world);

/// Warns when another program has the file open for writing, as far as HDF5's lock tells. For the root: a
/// look at the lock costs each rank a call to the file system.
void warn_when_written(const std::filesystem::path& file);

/// Collective. Copies the root's list to every rank.
void broadcast_volumes(std::vector<VolumeInfo>& volumes, const Communicator& world);

}  // namespace tessera
