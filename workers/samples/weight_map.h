#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// The separation borders' part of the weight map, w_0 exp(-(d1 + d2)^2 / (2 sigma^2)): Ronneberger et al.
/// 2015, eq. 2, where w_0 = 10 and sigma is about 5 px.
struct WeightMapOptions {
  double w0 = 0;     ///< 0: no such part
  double sigma = 5;  ///< pixels, above 0
};

/// Dense numbers for the ids of a section, in the order of their first pixels: 0 stays 0, the others become
/// 1, 2, ... `Id` is an integer of any size.
template <class Id>
std::vector<std::int32_t> dense_instances(std::span<const Id> ids);

/// The cells of a section of classes: its 4-connected components of pixels that are neither class 0 nor
/// `ignored`.
std::vector<std::int32_t> instances_of_classes(std::span<const std::uint8_t> classes, std::uint8_t ignored,
                                               std::int64_t height, std::int64_t width);

/// Draws a thin border of background (0) between instances that touch, in place: a pixel becomes background
/// where its 3 x 3 neighbourhood holds another instance, on both sides alike, so that a border is two pixels
/// wide. Judged by what the section was before.
void separate_instances(std::span<std::int32_t> instances, std::int64_t height, std::int64_t width);

/// The border part of the weight of each pixel of a section, (y, x) float32. d1 and d2 are the exact
/// Euclidean distances in pixels to the nearest and the second nearest instance. Instances themselves get 0:
/// the paper asks for the borders that separate cells, so the part belongs to background; and where there are
/// fewer than two instances there is nothing to separate, so all is 0. `instances` is separated already.
std::vector<float> border_weights(std::span<const std::int32_t> instances, std::int64_t height,
                                  std::int64_t width, const WeightMapOptions& options);

}  // namespace tessera
