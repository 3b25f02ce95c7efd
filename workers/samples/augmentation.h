#pragma once

#include "workers/numbers/random_stream.h"
#include "workers/samples/sample_warp.h"
#include "workers/samples/training_data.h"

namespace tessera {

struct AugmentationOptions {
  bool rotate = true;        ///< by 0, 90, 180 or 270 degrees
  bool mirror = true;        ///< along x
  double contrast = 0.25;    ///< multiplies grey values by a factor within 1 +- this
  double brightness = 0.25;  ///< adds an offset within +- this, in standard deviations of the raw volume
  double noise = 0.05;       ///< adds Gaussian noise of this standard deviation, likewise
  // Geometry, all in one resampling.
  double elastic =
      0;  ///< standard deviation, in pixels, of the displacements of the grid's nodes; the paper: 10
  double rotation = 0;  ///< by an angle within +- this, in degrees
  double scaling = 0;   ///< by a factor within 1 +- this; this is below 1
  double shift = 0;     ///< along y and x within +- this many pixels, also by fractions
  // Grey values.
  double gamma = 0;  ///< exponent exp(u), u within +- this, of grey values scaled to [0, 1] over the sample
  double blur = 0;   ///< Gaussian blur of a standard deviation from 0 to this, in pixels
  // Defects of serial sections: the probability of each for a section of the input.
  double missing_section = 0;       ///< a neighbouring section is black
  double misaligned_section = 0;    ///< a neighbouring section is moved by up to `misalignment` pixels
  std::int64_t misalignment = 8;    ///< whole pixels
  double low_contrast_section = 0;  ///< a section keeps kLowContrast of its contrast
};

/// One of the eight symmetries of the square.
struct Symmetry {
  int quarter_turns = 0;  ///< 0 to 3, counter-clockwise
  bool mirrored = false;  ///< along x, before the rotation
};

/// Applies a symmetry to a square image of `side`, in place.
template <class T>
void apply_symmetry(const Symmetry& symmetry, std::int64_t side, T* image, std::vector<T>& scratch) {
  scratch.assign(image, image + side * side);
  for (std::int64_t y = 0; y < side; ++y) {
    for (std::int64_t x = 0; x < side; ++x) {
      // The source of the pixel (y, x): undo the rotation, then the mirroring.
      std::int64_t from_y = y, from_x = x;
      for (int turn = 0; turn < symmetry.quarter_turns; ++turn) {
        const std::int64_t rotated = side - 1 - from_y;
        from_y = from_x;
        from_x = rotated;
      }
      if (symmetry.mirrored) from_x = side - 1 - from_x;
      image[y * side + x] = scratch[static_cast<std::size_t>(from_y * side + from_x)];
    }
  }
}

/// Draws the rotation, scaling, shift and displacements of a sample with `sections` sections, the labelled
/// one in the middle. The elastic part is that of Ronneberger et al. 2015, section 3.1: Gaussian
/// displacements on a coarse 3 x 3 grid, interpolated bicubically. An option that is off takes no number from
/// `random`.
SampleWarp draw_warp(const AugmentationOptions& options, std::int64_t sections, RandomStream& random);

/// The drawn changes of a sample beyond its warp.
struct SampleChanges {
  Symmetry symmetry;
  float factor = 1, offset = 0;                     ///< of grey values: contrast and brightness
  double gamma = 0;                                 ///< exponent; 0: none
  double blur = 0;                                  ///< standard deviation in pixels
  std::vector<std::uint8_t> low_contrast, missing;  ///< of each section, 1 or 0; empty: none
  float noise = 0;                                  ///< standard deviation
  RandomStream noise_stream{0, 0, 0};               ///< two numbers per value, in the order of Sample::input
};

/// The remaining contrast of a section of low contrast: that of gunpowder's DefectAugment.
constexpr float kLowContrast = 0.1F;

/// Draws the changes of a sample with `sections` sections, the labelled one in the middle and never missing,
/// and `values` input values. Beyond the first line of options, an option that is off takes no number from
/// `random`.
SampleChanges draw_changes(const AugmentationOptions& options, std::int64_t sections, std::int64_t values,
                           RandomStream& random);

/// Changes the input, classes and border weights of a sample. Order: a symmetry of the square, which moves
/// pixels without interpolation; contrast and brightness; gamma; blur; sections of low contrast; noise;
/// missing sections.
void apply_changes(const SampleChanges& changes, Sample& sample);

/// Draws and applies.
void augment(Sample& sample, const AugmentationOptions& options, RandomStream& random);

/// The blur along a line of `side` pixels as a matrix, row-major: the weight of each pixel (column) in each
/// blurred pixel (row). Gaussian, truncated at 4 standard deviations, mirrored beyond the edge
/// (scipy.ndimage's gaussian_filter, mode mirror).
std::vector<float> blur_matrix(double sigma, std::int64_t side);

}  // namespace tessera
