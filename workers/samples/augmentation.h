#pragma once

#include "workers/numbers/random_stream.h"
#include "workers/samples/sample_warp.h"
#include "workers/samples/training_data.h"

namespace tessera {

struct AugmentationOptions {
  bool rotate = true;        ///< by 0, 90, 180 or 270 degrees
  bool mirror = true;        ///< along x
  double contrast = 0.25;    ///< grey values times a factor within 1 +- this
  double brightness = 0.25;  ///< plus an offset within +- this, in standard deviations of the raw volume
  double noise = 0.05;       ///< plus Gaussian noise of this standard deviation, likewise
  // Geometry, in one resampling with the cut.
  double elastic =
      0;  ///< standard deviation, in pixels, of the displacements of the grid's nodes; the paper: 10
  double rotation = 0;  ///< by any angle within +- this, in degrees
  double scaling = 0;   ///< by a factor within 1 +- this, below 1
  double shift = 0;     ///< along y and x within +- this many pixels, also between pixels
  // Grey values.
  double gamma = 0;  ///< exponent exp(u), u within +- this, of grey values scaled to [0, 1] over the sample
  double blur = 0;   ///< Gaussian blur of a standard deviation from 0 to this, in pixels
  // What happens to serial sections; each is the probability of it for a section that the network sees.
  double missing_section = 0;       ///< a neighbouring section is black
  double misaligned_section = 0;    ///< a neighbouring section is moved by up to `misalignment` pixels
  std::int64_t misalignment = 8;    ///< whole pixels
  double low_contrast_section = 0;  ///< a section keeps a tenth of its contrast
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

/// Draws how a sample of so many sections (the labelled one in the middle) is turned, scaled, moved and
/// displaced. The elastic part is that of Ronneberger et al. 2015, section 3.1: Gaussian displacements at a
/// coarse 3 x 3 grid, interpolated bicubically. Nothing is drawn for what is off.
SampleWarp draw_warp(const AugmentationOptions& options, std::int64_t sections, RandomStream& random);

/// What is changed in a sample beyond its warp, as drawn.
struct SampleChanges {
  Symmetry symmetry;
  float factor = 1, offset = 0;                     ///< of grey values: contrast and brightness
  double gamma = 0;                                 ///< exponent; 0: none
  double blur = 0;                                  ///< standard deviation in pixels
  std::vector<std::uint8_t> low_contrast, missing;  ///< of each section, 1 or 0; empty: none
  float noise = 0;                                  ///< standard deviation
  RandomStream noise_stream{0, 0, 0};               ///< two numbers a value, in the order of Sample::input
};

/// Of a section of low contrast: as gunpowder's DefectAugment has it.
constexpr float kLowContrast = 0.1F;

/// Draws the changes of a sample of so many sections (the labelled one in the middle, which is never missing)
/// and so many input values. Nothing is drawn for what is off beyond the first line of options.
SampleChanges draw_changes(const AugmentationOptions& options, std::int64_t sections, std::int64_t values,
                           RandomStream& random);

/// Changes a sample that was cut, input, classes and border weights together. Order: a symmetry of the
/// square, which moves pixels without interpolation; contrast and brightness; gamma; blur; sections of low
/// contrast; noise; missing sections.
void apply_changes(const SampleChanges& changes, Sample& sample);

/// Draws and applies.
void augment(Sample& sample, const AugmentationOptions& options, RandomStream& random);

/// The blur along a line of `side` pixels as a matrix, row-major: what each pixel (column) gives to each
/// blurred one (row). Gaussian, cut off at 4 standard deviations, mirrored beyond the rim (scipy.ndimage's
/// gaussian_filter, mode mirror).
std::vector<float> blur_matrix(double sigma, std::int64_t side);

}  // namespace tessera
