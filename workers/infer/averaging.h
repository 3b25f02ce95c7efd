#pragma once

#include "io/base/enum_names.h"

namespace tessera {

/// The versions of the input over which a prediction is averaged. Probabilities are averaged, not logits.
enum class Averaging {
  none,
  rotations7,   ///< by multiples of 360/7 degrees, interpolated (Ronneberger et al. 2015: "7 rotated
                ///< versions")
  symmetries8,  ///< the exact symmetries of the square: mirroring along y and x, transposition
};
constexpr auto enum_names(Averaging) {
  return std::to_array<EnumName<Averaging>>({{Averaging::none, "none"},
                                             {Averaging::rotations7, "rotations7"},
                                             {Averaging::symmetries8, "symmetries8"}});
}

}  // namespace tessera
