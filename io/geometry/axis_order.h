#pragma once

#include <array>
#include <string>

#include "io/geometry/box.h"
#include "io/geometry/voxel_type.h"

namespace tessera {

/// The order in which a source has the axes z, y and x, such as "yxz", and how its voxels become (z, y, x).
class AxisOrder {
 public:
  /// "zyx" and the other orders of these letters, the slowest axis first. Errors: UsageError.
  explicit AxisOrder(const std::string& text);

  bool is_zyx() const { return from_ == std::array{0, 1, 2}; }
  /// A shape or position of the source as (z, y, x).
  Index3 sorted(const Index3& source) const;
  /// (z, y, x) in the order of the source.
  Index3 unsorted(const Index3& zyx) const;
  /// The voxels of a box of the source, in the order (z, y, x). Channels stay the slowest axis.
  VoxelBuffer sorted(const VoxelBuffer& source) const;

 private:
  std::array<int, 3> from_{};  ///< by axis z, y, x: its place in the source
};

/// A sentence when the last axis of a shape (z, y, x) is by far the shortest, so that the axes are probably
/// in another order; else "".
std::string axis_order_doubt(const Index3& shape);

/// The one command that reorders axes, for messages. `source`: what to read.
std::string axis_order_advice(const std::string& source);

}  // namespace tessera
