#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "workers/metrics/ignored_class.h"

namespace tessera {

/// The weight of each class, w_c in eq. 2 of Ronneberger et al. 2015: w_c = pixels / (classes * pixels of c),
/// so that every class has the same total weight and the mean weight is 1. A class that does not occur has 0.
/// With `balance` false every weight is 1.
std::vector<float> class_weights(std::span<const std::int64_t> class_counts, bool balance);

/// The weight of each pixel, w(x) = w_c of its class + the border part of the weight map (`border_weights`;
/// empty for none). Ignored pixels have weight 0.
std::vector<float> pixel_weights(std::span<const std::uint8_t> classes,
                                 std::span<const float> weights_of_classes,
                                 std::span<const float> border = {});

}  // namespace tessera
