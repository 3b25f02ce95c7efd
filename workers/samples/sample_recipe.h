#pragma once

#include <cstddef>
#include <cstdint>

#include "io/geometry/box.h"
#include "workers/samples/augmentation.h"
#include "workers/samples/sample_warp.h"

namespace tessera {

/// The position and the warp of a sample.
struct SampleDraw {
  std::size_t volume = 0;
  Index3 at;  ///< the first output pixel
  SampleWarp warp;
};

/// All random numbers of a sample: with the volumes it determines the sample.
struct SampleRecipe {
  SampleDraw draw;
  SampleChanges changes;
  std::uint64_t dropout_seed = 0;
};

}  // namespace tessera
