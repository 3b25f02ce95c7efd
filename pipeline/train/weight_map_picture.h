#pragma once

#include <span>

#include "pipeline/run/run_folder.h"
#include "workers/samples/training_data.h"

namespace tessera {

/// Writes previews/weight_map.png: a section's raw voxels, its classes (ignored pixels grey), and the weight
/// of each pixel from 0 (black) through blue and orange to the largest (white), side by side. Errors: Error.
void write_weight_map_picture(const SectionView& section, std::span<const float> class_weights,
                              const RunFolder& folder);

}  // namespace tessera
