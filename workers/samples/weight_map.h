#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// The border part of the weight map, w_0 exp(-(d1 + d2)^2 / (2 sigma^2)): Ronneberger et al.
/// 2015, eq. 2, where w_0 = 10 and sigma is about 5 px.
struct WeightMapOptions {
  double w0 = 0;     ///< 0: no border part
  double sigma = 5;  ///< pixels, above 0
};

/// Renumbers the ids of a section in the order of their first pixels: 0 stays 0, the others become
/// 1, 2, ... `Id` is an integer of any size.
template <class Id>
std::vector<std::int32_t> dense_instances(std::span<const Id> ids);

/// The cells of a section of classes: its 4-connected components of pixels that are neither class 0 nor
/// `ignored`.
std::vector<std::int32_t> instances_of_classes(std::span<const std::uint8_t> classes, std::uint8_t ignored,
                                               std::int64_t height, std::int64_t width);

/// Separates touching instances by background (0), in place. A pixel becomes background if its 3 x 3
/// neighbourhood in the original section has another instance. This applies on both sides, so a border is two
/// pixels wide.
void separate_instances(std::span<std::int32_t> instances, std::int64_t height, std::int64_t width);

/// The border part of the weight of each pixel of a section, (y, x) float32. d1 and d2 are the exact
/// Euclidean distances in pixels to the nearest and the second nearest instance. Pixels of instances
/// have 0, because the paper's borders separate cells and belong to the background. With fewer than two
/// instances all pixels have 0. `instances` must be separated already.
std::vector<float> border_weights(std::span<const std::int32_t> instances, std::int64_t height,
                                  std::int64_t width, const WeightMapOptions& options);

}  // namespace tessera
