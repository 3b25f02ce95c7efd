#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// For each pixel of a section, the Euclidean distances in pixels, centre to centre, to the nearest pixel of
/// the nearest instance (0 inside an instance) and to the nearest pixel of the nearest other instance.
/// Infinite where the section has no such instance.
struct InstanceDistances {
  std::vector<float> nearest, second;  ///< (y, x)
};

/// Exact distances to the two nearest different instances. `instances`: (y, x), 0 for background, else an id
/// above 0; an id may have several components. The squared distances are integers until the root is taken.
/// Time: a few passes over the pixels for any number of instances. Memory: 24 bytes per pixel. Errors: Error
/// for a side of 2^30 pixels or more.
InstanceDistances instance_distances(std::span<const std::int32_t> instances, std::int64_t height,
                                     std::int64_t width);

}  // namespace tessera
