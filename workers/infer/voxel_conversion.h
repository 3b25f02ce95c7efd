#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"
#include "workers/network/normalisation.h"

namespace tessera {

/// Extracts the voxels of a box from `held`, which covers `held_box` of a volume of `shape`. Voxels beyond
/// the volume are mirrored (`cut_mirrored`). Normalises them: (v - mean) / std in float32, with the
/// normalisation of each section. `out` is (channel, z, y, x) of the box, row-major. held: uint8, uint16 or
/// float32. Runs on LibTorch's threads. Errors: UsageError for other types.
void cut_normalised(const VoxelBuffer& held, const Box& held_box, const Box& box, const Index3& shape,
                    const std::function<Normalisation(std::int64_t z)>& normalisation, std::span<float> out);

/// Computes round(255 p) of `count` values, `stride` elements from one to the next; ties round to even.
/// Values are expected in [0, 1] and clamped to it. Returns false when a value is NaN or infinite; then `out`
/// is invalid.
bool quantise(const float* values, std::int64_t stride, std::int64_t count, std::uint8_t* out);

}  // namespace tessera
