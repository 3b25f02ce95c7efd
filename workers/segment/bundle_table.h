#pragma once

#include <cstdint>
#include <vector>

namespace tessera {

/// A bundle: all voxel edges between two pieces or clusters of a block.
struct BlockBundle {
  std::uint64_t pair = 0;   ///< (a << 32) | b, with a < b
  std::uint64_t sum = 0;    ///< of weights
  std::uint64_t edge = 0;   ///< the smallest id of an edge of weight `saddle`
  std::uint32_t count = 0;  ///< of edges
  std::int32_t saddle = 0;  ///< the largest weight

  std::uint32_t a() const { return static_cast<std::uint32_t>(pair >> 32); }
  std::uint32_t b() const { return static_cast<std::uint32_t>(pair); }
  /// Whether this is the earlier of two in the order of step 3.
  bool is_before(const BlockBundle& other) const {
    return saddle != other.saddle ? saddle > other.saddle : edge < other.edge;
  }
};

/// Sums bundles by their pairs, in a hash table.
class BundleTable {
 public:
  BundleTable();
  /// Adds edges between a and b, which differ.
  void add(std::uint32_t a, std::uint32_t b, std::uint64_t sum, std::uint32_t count, std::int32_t saddle,
           std::uint64_t edge) {
    const std::uint64_t pair = a < b ? (std::uint64_t{a} << 32 | b) : (std::uint64_t{b} << 32 | a);
    BlockBundle& row = pair == last_pair_ ? rows_[last_] : row_of(pair);
    row.sum += sum;
    row.count += count;
    if (saddle > row.saddle || (saddle == row.saddle && edge < row.edge)) {
      row.saddle = saddle;
      row.edge = edge;
    }
  }
  /// The bundles, ordered by (a, b). Empties the table.
  std::vector<BlockBundle> take();

 private:
  BlockBundle& row_of(std::uint64_t pair);
  void grow();

  std::vector<BlockBundle> rows_;     ///< in the order of their first edges
  std::vector<std::uint32_t> slots_;  ///< the number of a row plus 1; 0: free
  std::uint64_t last_pair_ = ~std::uint64_t{0};
  std::size_t last_ = 0;
};

}  // namespace tessera
