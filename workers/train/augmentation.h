#pragma once

#include "workers/train/random_stream.h"
#include "workers/train/training_data.h"

namespace tessera {

struct AugmentationOptions {
  bool rotate = true;        ///< by 0, 90, 180 or 270 degrees
  bool mirror = true;        ///< along x
  double contrast = 0.25;    ///< grey values times a factor within 1 +- this
  double brightness = 0.25;  ///< plus an offset within +- this, in standard deviations of the raw volume
  double noise = 0.05;       ///< plus Gaussian noise of this standard deviation, likewise
};

/// One of the eight symmetries of the square.
struct Symmetry {
  int quarter_turns = 0;  ///< 0 to 3, counter-clockwise
  bool mirrored = false;  ///< along x, before turning
};

/// Applies a symmetry to a square image of `side`, in place.
template <class T>
void apply_symmetry(const Symmetry& symmetry, std::int64_t side, T* image, std::vector<T>& scratch) {
  scratch.assign(image, image + side * side);
  for (std::int64_t y = 0; y < side; ++y) {
    for (std::int64_t x = 0; x < side; ++x) {
      // Where the pixel that lands on (y, x) came from: undo the turns, then the mirror.
      std::int64_t from_y = y, from_x = x;
      for (int turn = 0; turn < symmetry.quarter_turns; ++turn) {
        const std::int64_t turned = side - 1 - from_y;
        from_y = from_x;
        from_x = turned;
      }
      if (symmetry.mirrored) from_x = side - 1 - from_x;
      image[y * side + x] = scratch[static_cast<std::size_t>(from_y * side + from_x)];
    }
  }
}

/// Changes a sample at random, input and classes together. Order: geometry (a symmetry of the square; the
/// elastic deformation of the paper belongs here, before it), then grey values.
void augment(Sample& sample, const AugmentationOptions& options, RandomStream& random);

}  // namespace tessera
