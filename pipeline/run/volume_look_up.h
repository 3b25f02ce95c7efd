#pragma once

#include <vector>

#include "io/hdf5/volume_reader.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// Collective. What the volume says of itself: the root opens its file, the others hear of it. However many
/// ranks start together, the file system is asked once. Errors, on every rank: AgreedError (VolumeReader).
VolumeInfo look_up_volume(const DatasetName& name, const Communicator& world);

/// Collective: what the root has looked up, on every rank.
void broadcast_volumes(std::vector<VolumeInfo>& volumes, const Communicator& world);

}  // namespace tessera
