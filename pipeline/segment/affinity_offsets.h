#pragma once

#include <string>
#include <vector>

#include "io/volume/volume.h"
#include "pipeline/config/segment_config.h"
#include "workers/segment/segment_options.h"

namespace tessera {

/// Of each channel of affinities the step from a voxel to the other end of its edge: config.offsets, or those
/// of the prediction's attribute `offsets`, an array or JSON text. Errors: UsageError where there are none,
/// or as many as the prediction has no channels.
std::vector<Index3> affinity_offsets(const SegmentConfig& config, const VolumeInfo& prediction);

/// The channels of a voxel's neighbours. Other offsets, such as those of distant voxels, are not used.
/// Errors: UsageError where a channel that the mode needs is missing or exists twice.
AffinityChannels affinity_channels(const std::vector<Index3>& offsets, SegmentMode mode,
                                   const VolumeInfo& prediction);

/// "-1 0 0, 0 -1 0".
std::string offsets_text(const std::vector<Index3>& offsets);

}  // namespace tessera
