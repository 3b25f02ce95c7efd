#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>

#include "io/base/enum_names.h"

namespace tessera {

/// A number that is at least 0, exact. Two of them are compared by 128-bit products.
struct Fraction {
  std::uint64_t numerator = 0;
  std::uint64_t denominator = 1;  ///< above 0

  friend std::strong_ordering operator<=>(const Fraction& x, const Fraction& y) {
    __extension__ using Product = unsigned __int128;
    const Product left = static_cast<Product>(x.numerator) * y.denominator,
                  right = static_cast<Product>(y.numerator) * x.denominator;
    return left < right   ? std::strong_ordering::less
           : left > right ? std::strong_ordering::greater
                          : std::strong_ordering::equal;
  }
  friend bool operator==(const Fraction& x, const Fraction& y) { return (x <=> y) == 0; }
};

/// The weight of probability 1.
inline constexpr std::uint64_t kProbabilityOne = 65535;

/// A threshold between 0 and 1 on the scale of weights (0 to 65535), to six decimals, exact:
/// round(10^6 threshold) 65535 / 10^6.
Fraction weight_threshold(double threshold);

/// How the affinity of two clusters follows from the voxel edges between them.
enum class Linkage {
  mean,      ///< of the edges' weights
  quantile,  ///< of the edges' weights, to 1 in 256
  maximum    ///< the largest weight: single linkage
};
constexpr auto enum_names(Linkage) {
  return std::to_array<EnumName<Linkage>>(
      {{Linkage::mean, "mean"}, {Linkage::quantile, "quantile"}, {Linkage::maximum, "maximum"}});
}

struct LinkageRule {
  Linkage linkage = Linkage::mean;
  int percent = 50;  ///< of the quantile, 1 to 100; 50 is the median
};

/// The number of voxel edges whose weight has the upper byte `bin`.
struct HistogramBin {
  std::uint64_t bin : 8;
  std::uint64_t count : 56;  ///< above 0

  friend bool operator==(const HistogramBin&, const HistogramBin&) = default;
};

/// The quantile of weights with this histogram: the smallest bin at or below which at least `percent` per
/// cent of the weights are, times 257, which is the weight of the probability bin / 255. `bins` is not empty
/// and rises. The quantile of a union lies between those of its parts.
std::uint16_t quantile_weight(std::span<const HistogramBin> bins, int percent);

}  // namespace tessera
