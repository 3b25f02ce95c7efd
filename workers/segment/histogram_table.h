#pragma once

#include <cstdint>
#include <vector>

namespace tessera {

/// One bin of a bundle's histogram: `count` edges have a weight with the upper byte `bin`.
struct BundleBin {
  std::uint64_t pair = 0;  ///< (a << 32) | b, with a < b, as that of the bundle
  std::uint32_t bin = 0;   ///< 0 to 255
  std::uint32_t count = 0;
};

/// Sums the histograms of the weights of bundles, in a hash table.
class HistogramTable {
 public:
  HistogramTable();
  /// Adds an edge of this weight, 0 to 65535, between a and b, which differ.
  void add(std::uint32_t a, std::uint32_t b, std::int32_t weight) {
    const std::uint64_t pair = a < b ? (std::uint64_t{a} << 32 | b) : (std::uint64_t{b} << 32 | a);
    ++entry_of(pair, static_cast<std::uint32_t>(weight) >> 8).count;
  }
  /// The bins, ordered by (a, b, bin). Empties the table.
  std::vector<BundleBin> take();

 private:
  BundleBin& entry_of(std::uint64_t pair, std::uint32_t bin);
  void grow();

  std::vector<BundleBin> slots_;  ///< count 0: free
  std::size_t used_ = 0;
};

}  // namespace tessera
