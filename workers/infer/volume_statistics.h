#pragma once

#include <optional>
#include <vector>

#include "io/volume/volume.h"
#include "workers/mpi/communicator.h"
#include "workers/network/normalisation.h"

namespace tessera {

/// Collective. Mean and standard deviation of the raw values of each section. All voxels of a section count
/// if its layer of stored chunks has at most 64 chunks, else those of 64 evenly spread chunks. The layers are
/// distributed over the ranks; ranks without layers do not open the file. The result does not depend on the
/// number of ranks. A section without contrast has the deviation 1. Errors: AgreedError, also for a NaN.
std::vector<Normalisation> section_statistics(const VolumeInfo& raw, const Communicator& world);

/// Collective. Mean and standard deviation of the whole volume, from at most 256 evenly spread layers of
/// stored chunks.
Normalisation volume_statistics(const VolumeInfo& raw, const Communicator& world);

/// Mean and standard deviation of a sample of about 2^22 voxels: evenly spread chunks, at most 64, at least
/// one. Zeros (padding) and values that are not finite are left out; none when nothing is left. Not
/// collective. Errors: Error.
std::optional<Normalisation> sampled_statistics(const VolumeInfo& raw);

/// Whether raw values with the mean and deviation `found` are far from what a network was made for:
/// normalised by `expected`, their mean is more than 2 from 0, or their deviation below 1/4 or above 4.
bool is_far(const Normalisation& found, const Normalisation& expected);
/// Whether they are of the same scale: the mean is at most 1/2 from 0, and the deviation between 2/3 and 3/2.
bool is_near(const Normalisation& found, const Normalisation& expected);

}  // namespace tessera
