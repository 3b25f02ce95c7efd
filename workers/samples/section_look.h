#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"

namespace tessera {

// What a few sections of a raw volume and of its labels look like, for a judgement before any training.

/// The middle of a box, at most 1024 pixels wide along y and x: enough to judge a section by.
Box middle_of(Box box);

/// At most 256 sections of [begin, end), evenly spread.
std::vector<std::int64_t> spread_sections(std::int64_t begin, std::int64_t end);

/// The first channel of voxels as numbers, (z, y, x).
std::vector<float> greys_of(const VoxelBuffer& voxels);

/// The finite grey values of one section.
struct SectionGrey {
  std::int64_t z = 0;
  double sum = 0, squares = 0, count = 0;
  double least = 0, most = 0;

  static SectionGrey of(std::int64_t z, std::span<const float> greys);
  double mean() const { return count > 0 ? sum / count : 0; }
  double deviation() const;
};

/// The sections with less than a twentieth of the usual contrast: black, or of one grey value.
std::vector<std::int64_t> blank_sections(const std::vector<SectionGrey>& sections);

/// Whether class 0 is the interior of cells, and the others the membrane: class 0 is clearly brighter, and
/// the others part it into many pieces, as membranes do. Dark objects in a bright background do not.
class ZeroLook {
 public:
  /// `zero`: 1 for a pixel of class 0, 0 for one of the others, any other value for one that does not count.
  void add_greys(std::span<const std::uint8_t> zero, std::span<const float> greys);
  /// Counts the pieces of a section. Four sections are enough.
  void add_pieces(std::span<const std::uint8_t> zero, std::int64_t height, std::int64_t width);

  double mean_of_zero() const { return count_[0] > 0 ? sum_[0] / count_[0] : 0; }
  double mean_of_others() const { return count_[1] > 0 ? sum_[1] / count_[1] : 0; }
  /// `deviation`: of the grey values.
  bool is_interior(double deviation) const;

 private:
  std::array<double, 2> sum_{}, count_{};
  double pixels_ = 0, largest_ = 0;  ///< of class 0, and of its largest piece in each section
};

/// The share of neighbouring pixels along x that differ, 0 to 1. Noise has nearly 1, areas of one value
/// nearly 0.
double changing_share(const VoxelBuffer& voxels);

/// Whether raw voxels and labels look exchanged: the labels have many values that change from pixel to
/// pixel, the raw voxels large areas of one value. `label_values`: how many different ones the labels have.
bool look_exchanged(const VoxelBuffer& raw, const VoxelBuffer& labels, std::size_t label_values);

}  // namespace tessera
