#pragma once

#include "workers/samples/augmentation.h"

namespace tessera {

/// The rows and columns of a square from which those of its symmetric image come.
struct LineOrder {
  bool swapped;  ///< rows come from columns
  bool y_back;   ///< the source's rows are read from the last to the first
  bool x_back;   ///< likewise its columns

  explicit LineOrder(const Symmetry& symmetry)
      : swapped(symmetry.quarter_turns % 2 == 1),
        y_back(symmetry.quarter_turns >= 2),
        x_back((symmetry.quarter_turns == 1 || symmetry.quarter_turns == 2) != symmetry.mirrored) {}
};

}  // namespace tessera
