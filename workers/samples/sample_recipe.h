#pragma once

#include <cstddef>
#include <cstdint>

#include "io/geometry/box.h"
#include "workers/samples/augmentation.h"
#include "workers/samples/sample_warp.h"

namespace tessera {

/// Where a sample lies and how it is bent.
struct SampleDraw {
  std::size_t volume = 0;
  Index3 at;  ///< the first output pixel
  SampleWarp warp;
};

/// All that is random about a sample: what makes it from the volumes needs no other number.
struct SampleRecipe {
  SampleDraw draw;
  SampleChanges changes;
  std::uint64_t dropout_seed = 0;
};

}  // namespace tessera
