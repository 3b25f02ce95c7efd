#include "workers/segment/block_pieces.h"

#include <array>
#include <span>

#include "io/base/crc32c.h"
#include "io/graph/block_graph.h"
#include "workers/segment/disjoint_sets.h"

namespace tessera {
namespace {

/// A neighbour, in the order of the ids of the edges to them: z -, y -, x -, x +, y +, z +. (An edge's id is
/// 3 times the linear index of its upper end, plus the axis.)
constexpr int kNeighbours = 6;
constexpr std::array<int, kNeighbours> kAxis{0, 1, 2, 2, 1, 0};
constexpr int kNoNeighbour = kNeighbours;
constexpr bool is_upper(int neighbour) {
  return neighbour >= 3;
}

class BasinFinder {
 public:
  BasinFinder(const BlockWeights& weights, const BlockGraphOptions& options, BlockPieces& pieces)
      : weights_(weights),
        levels_(weights.levels()),
        options_(options),
        block_(weights.box.shape()),
        pieces_(pieces),
        sets_(pieces.piece) {
    for (int i = 0; i < kNeighbours; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const int axis = kAxis[at];
      const std::int64_t own = axis == 0 ? block_.y * block_.x : axis == 1 ? block_.x : 1;
      to_[at] = (is_upper(i) ? 1 : -1) * weights.stride(axis);
      own_to_[at] = (is_upper(i) ? 1 : -1) * own;
      const int face = 2 * axis + (is_upper(i) ? 1 : 0);
      if (axis >= options.first_axis() && has_face(weights.box, weights.shape, face)) {
        pieces.crosses[static_cast<std::size_t>(face)].resize(
            static_cast<std::size_t>(face_box(weights.box, face).voxels()));
      }
    }
    best_.resize(static_cast<std::size_t>(block_.x));
  }

  void run() {
    for (std::int64_t z = 0; z < block_.z; ++z) {
      for (std::int64_t y = 0; y < block_.y; ++y) {
        if (weights_.has_affinities()) {
          choose_row_by_affinity(static_cast<std::size_t>(weights_.row(z, y)));
        } else {
          choose_row(levels_.data() + weights_.row(z, y));
        }
        unite_row(z, y);
      }
    }
  }

 private:
  /// The best neighbour of each voxel of a row. All edges of a voxel share its weight, so the best one leads
  /// to the neighbour of the largest weight, and of equal ones to the first.
  void choose_row(const std::int32_t* row) {
    const int first = options_.first_axis() == 0 ? 0 : 1, last = kNeighbours - first;
    for (std::int64_t x = 0; x < block_.x; ++x) {
      std::int32_t largest = BlockWeights::kOutside;
      int best = kNoNeighbour;
      for (int i = first; i < last; ++i) {
        const std::int32_t there = row[x + to_[static_cast<std::size_t>(i)]];
        best = there > largest ? i : best;
        largest = there > largest ? there : largest;
      }
      best_[static_cast<std::size_t>(x)] = static_cast<std::uint8_t>(best);
    }
  }

  /// The same by the affinities of the edges: the largest, and of equal ones the first. `row`: its first
  /// place.
  void choose_row_by_affinity(std::size_t row) {
    const int first = options_.first_axis() == 0 ? 0 : 1, last = kNeighbours - first;
    for (std::size_t x = 0; x < best_.size(); ++x) {
      std::int32_t largest = BlockWeights::kOutside;
      int best = kNoNeighbour;
      for (int i = first; i < last; ++i) {
        const std::int32_t there = affinity_of(row + x, i);
        best = there > largest ? i : best;
        largest = there > largest ? there : largest;
      }
      best_[x] = static_cast<std::uint8_t>(best);
    }
  }

  /// Of the edge between the voxel at a place of the padded arrays and its neighbour.
  std::int32_t affinity_of(std::size_t place, int neighbour) const {
    const auto at = static_cast<std::size_t>(neighbour);
    const std::size_t upper = is_upper(neighbour) ? place + static_cast<std::size_t>(to_[at]) : place;
    return weights_.affinity[static_cast<std::size_t>(kAxis[at])][upper];
  }

  void unite_row(std::int64_t z, std::int64_t y) {
    const std::int32_t* row = levels_.data() + weights_.row(z, y);
    const std::int64_t begin = (z * block_.y + y) * block_.x;
    for (std::int64_t x = 0; x < block_.x; ++x) {
      const auto own = static_cast<std::uint32_t>(begin + x);
      if (row[x] < 0) continue;
      const int best = best_[static_cast<std::size_t>(x)];
      if (best != kNoNeighbour) {
        if (is_inside(best, {z, y, x})) {
          sets_.unite(own, static_cast<std::uint32_t>(begin + x + own_to_[static_cast<std::size_t>(best)]));
        } else {
          note_crossing(best, {z, y, x});
        }
      }
      const bool has_affinities = weights_.has_affinities();
      if (!has_affinities && row[x] < options_.saturated) continue;
      for (int i = options_.first_axis(); i < 3; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const std::int32_t edge = has_affinities
                                      ? affinity_of(static_cast<std::size_t>(weights_.row(z, y) + x), i)
                                      : row[x + to_[at]];
        if (edge >= options_.saturated && is_inside(i, {z, y, x}))
          sets_.unite(own, static_cast<std::uint32_t>(begin + x + own_to_[at]));
      }
    }
  }

  bool is_inside(int neighbour, const Index3& at) const {
    const int axis = kAxis[static_cast<std::size_t>(neighbour)];
    return is_upper(neighbour) ? at[axis] + 1 < block_[axis] : at[axis] > 0;
  }

  void note_crossing(int neighbour, const Index3& at) {
    const int axis = kAxis[static_cast<std::size_t>(neighbour)];
    const int face = 2 * axis + (is_upper(neighbour) ? 1 : 0);
    const std::int64_t place = axis == 0   ? at.y * block_.x + at.x
                               : axis == 1 ? at.z * block_.x + at.x
                                           : at.z * block_.y + at.y;
    pieces_.crosses[static_cast<std::size_t>(face)][static_cast<std::size_t>(place)] = 1;
  }

  const BlockWeights& weights_;
  const std::vector<std::int32_t>& levels_;
  const BlockGraphOptions& options_;
  Index3 block_;
  BlockPieces& pieces_;
  DisjointSets<std::uint32_t> sets_;
  std::array<std::int64_t, kNeighbours> to_{}, own_to_{};  ///< in the padded arrays, in the block
  std::vector<std::uint8_t> best_;
};

}  // namespace

std::uint32_t BlockPieces::crc() const {
  return crc32c(std::as_bytes(std::span(name)));
}

void number_pieces(const Box& block, const Index3& shape, BlockPieces& pieces) {
  const Index3 sides = block.shape();
  std::uint32_t at = 0;
  for (std::int64_t z = 0; z < sides.z; ++z) {
    for (std::int64_t y = 0; y < sides.y; ++y) {
      const std::int64_t linear = linear_index(block.begin + Index3{z, y, 0}, shape);
      for (std::int64_t x = 0; x < sides.x; ++x, ++at) {
        std::uint32_t& piece = pieces.piece[at];
        if (piece == BlockPieces::kNone) continue;
        if (piece != at) {
          piece = pieces.piece[piece];  // of a voxel before this one, which has its number already
        } else {
          piece = static_cast<std::uint32_t>(pieces.name.size());
          pieces.name.push_back(static_cast<std::uint64_t>(linear + x));
        }
      }
    }
  }
}

BlockPieces find_basin_pieces(const BlockWeights& weights, const BlockGraphOptions& options) {
  BlockPieces pieces;
  const Index3 sides = weights.box.shape();
  pieces.piece.resize(static_cast<std::size_t>(volume_of(sides)));
  std::uint32_t at = 0;
  for (std::int64_t z = 0; z < sides.z; ++z) {
    for (std::int64_t y = 0; y < sides.y; ++y) {
      const std::int32_t* row = weights.weight.data() + weights.row(z, y);
      for (std::int64_t x = 0; x < sides.x; ++x, ++at)
        pieces.piece[at] = row[x] < 0 ? BlockPieces::kNone : at;
    }
  }
  BasinFinder(weights, options, pieces).run();
  number_pieces(weights.box, weights.shape, pieces);
  return pieces;
}

}  // namespace tessera
