#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// The weight of each class, w_c in eq. 2 of Ronneberger et al. 2015: w_c = pixels / (classes * pixels of c),
/// so that every class weighs the same in total and the mean weight is 1. A class that does not occur gets 0.
/// With `balance` false every weight is 1.
std::vector<float> class_weights(std::span<const std::int64_t> class_counts, bool balance);

/// The weight of each pixel. Today w(x) = w_c of its class; the separation borders between touching cells,
/// w_0 exp(-(d1 + d2)^2 / (2 sigma^2)), are added here.
std::vector<float> pixel_weights(std::span<const std::uint8_t> classes, std::span<const float> weights_of_classes);

}  // namespace tessera
