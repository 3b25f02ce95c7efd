#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "io/geometry/box.h"
#include "io/volume/dataset_name.h"
#include "io/volume/volume.h"

namespace tessera {

/// Which blocks are skipped. They stay 0 in the result.
struct SkipRule {
  /// Integers of the raw volume's shape, or downsampled by an integer factor on each axis; 0: background. A
  /// block is skipped when all of it is background.
  std::optional<DatasetName> mask;
  /// A block is skipped when all its raw values are within these bounds, inclusive.
  std::optional<std::pair<double, double>> background;

  bool any() const { return mask || background; }
};

/// Looks up blocks in a mask. Used by the thread that makes HDF5 calls.
class BlockMask {
 public:
  /// Errors: UsageError when the mask's shape does not match `raw_shape`; Error when it cannot be read.
  BlockMask(const DatasetName& mask, const Index3& raw_shape);
  /// Whether all mask values over `block` are 0.
  bool is_background(const Box& block);
  const VolumeInfo& info() const { return mask_->info(); }

 private:
  std::unique_ptr<Volume> mask_;
  Index3 factor_;
};

/// Whether every value of `raw` over `block` is within [low, high]. `raw` holds `raw_box`.
bool all_within(const VoxelBuffer& raw, const Box& raw_box, const Box& block, double low, double high);

}  // namespace tessera
