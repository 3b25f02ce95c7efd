#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tessera {

/// Whether labels lie on what they label: class 0 (membranes, borders, background) and the other class have
/// different grey values where they do. In eight orientations, as image viewers and scripts mirror stacks and
/// exchange axes. Seen, in deviations of the grey values: 1.0 to 6.7 as given (ISBI-2012, FIB-25, stained
/// nuclei, `tessera synth`), at most 0.6 in other orientations, but for one section of nuclei.
class LabelFit {
 public:
  /// One section. `zero`, (y, x): 1 for a pixel of class 0, 0 for one of the others, any other value for one
  /// that does not count. `greys` as many. Sections beyond the first 16 are ignored. Sides may differ: axes
  /// are then not exchanged.
  void add(std::span<const std::uint8_t> zero, std::span<const float> greys, std::int64_t height,
           std::int64_t width);

  /// "" when the labels fit as they are, or when there is too little to tell. Otherwise in which orientation
  /// they fit, or that they fit in none, as the end of a sentence about the labels.
  std::string doubt() const;

 private:
  struct Contrast {
    std::array<double, 2> sum{}, count{};
    double value() const;
  };
  std::array<Contrast, 8> contrasts_;  ///< bit 0: mirrored along x; 1: along y; 2: axes exchanged before
  std::size_t sections_ = 0;
  double sum_ = 0, squares_ = 0, count_ = 0;  ///< of the grey values
};

}  // namespace tessera
