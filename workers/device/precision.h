#pragma once

#include <string>

namespace tessera {

/// What a network computes in. Weights and activations are of this type; sums inside a convolution are
/// float32.
enum class Precision { float32, bfloat16, float16 };

std::string name_of(Precision precision);

/// What a GPU does so that tiles do not show, by sums in one order, which are slower
/// (fixed_order_convolution.h).
enum class ExactTiles {
  automatic,  ///< tiles of one size agree: layers that depend on a pixel's place are summed so; in float32 by
              ///< rule as `yes`, where possible
  yes,        ///< tiles of every size say of a pixel what the whole section says, bit for bit: all layers are
  no,         ///< no layer is: tiles of one size agree where the device's libraries have such kernels
};

}  // namespace tessera
