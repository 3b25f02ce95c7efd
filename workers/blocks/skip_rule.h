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
  /// Whole numbers of the raw volume's shape, or downsampled by a whole factor on each axis; 0: background. A
  /// block is skipped when all of it is background. `offset` and `resolution` place a mask in the raw volume;
  /// where it has no voxels nothing is skipped.
  std::optional<DatasetName> mask;
  /// A block is skipped when all its raw values are within these bounds, inclusive.
  std::optional<std::pair<double, double>> background;

  bool any() const { return mask || background; }
};

/// Looks up blocks in a mask. Used by the thread that makes HDF5 calls.
class BlockMask {
 public:
  /// Errors: UsageError when the mask's shape, resolution or offset does not fit `raw`; Error when it cannot
  /// be read.
  BlockMask(const DatasetName& mask, const VolumeInfo& raw);
  /// Whether all mask values over `block` are 0.
  bool is_background(const Box& block);
  const VolumeInfo& info() const { return mask_->info(); }

 private:
  std::unique_ptr<Volume> mask_;
  Index3 factor_;
  Index3 begin_;  ///< of the mask, in raw voxels
  Index3 end_;    ///< likewise; where a pyramid rounded its size down, the raw volume's end
};

/// Whether every value of `raw` over `block` is within [low, high]. `raw` holds `raw_box`.
bool all_within(const VoxelBuffer& raw, const Box& raw_box, const Box& block, double low, double high);

}  // namespace tessera
