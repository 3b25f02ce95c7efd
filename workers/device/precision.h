#pragma once

#include "io/base/enum_names.h"

namespace tessera {

/// The type of a network's weights and activations. Sums in a convolution are always float32.
enum class Precision { float32, bfloat16, float16 };
constexpr auto enum_names(Precision) {
  return std::to_array<EnumName<Precision>>(
      {{Precision::float32, "float32"}, {Precision::bfloat16, "bfloat16"}, {Precision::float16, "float16"}});
}

/// Whether a GPU uses convolutions with a fixed reduction order, which are slower
/// (fixed_order_convolution.h), so that tiles leave no seams of rounding.
enum class ExactTiles {
  automatic,  ///< for layers that are not translation-invariant: tiles of one size agree. In float32 with
              ///< kernels chosen heuristically as `yes`, where possible
  yes,        ///< for all layers: tiles of every size agree bit for bit with the whole section
  no,         ///< for no layer: tiles of one size agree if the device's libraries have such kernels
};
constexpr auto enum_names(ExactTiles) {
  return std::to_array<EnumName<ExactTiles>>(
      {{ExactTiles::automatic, "auto"}, {ExactTiles::yes, "true"}, {ExactTiles::no, "false"}});
}

}  // namespace tessera
