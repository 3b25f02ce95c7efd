#include "workers/blocks/skip_rule.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "io/base/error.h"
#include "io/stores/open_volume.h"

namespace tessera {
namespace {

/// The downsampling factor between `fine` and `coarse` pixels. It divides exactly, or it is a power of two
/// and the size was rounded up or down (as in image pyramids). Nothing when no such factor exists.
std::optional<std::int64_t> factor_between(std::int64_t fine, std::int64_t coarse) {
  if (fine % coarse == 0) return fine / coarse;
  for (std::int64_t power = 2; power <= fine; power *= 2) {
    if (fine / power == coarse || ceil_div(fine, power) == coarse) return power;
  }
  return std::nullopt;
}

}  // namespace

BlockMask::BlockMask(const DatasetName& mask, const Index3& raw_shape) : mask_(open_labels(mask)) {
  const VolumeInfo& info = mask_->info();
  bool fits = info.channels == 1 && info.type != VoxelType::float32;
  for (int axis = 0; axis < 3; ++axis) {
    const auto factor = factor_between(raw_shape[axis], info.shape[axis]);
    fits = fits && factor;
    factor_[axis] = factor.value_or(1);
  }
  if (!fits) {
    throw UsageError(fmt::format(
        "infer.skip.mask: {} has {} of shape {}; it must hold integers of the raw volume's shape {}, "
        "or of one that is coarser by a whole factor on each axis (an exact one, or a power of two)",
        mask.text(), name_of(info.type), to_string(info.shape), to_string(raw_shape)));
  }
}

bool BlockMask::is_background(const Box& block) {
  Box box;
  for (int axis = 0; axis < 3; ++axis) {
    // Where a pyramid rounded its size down, the last mask pixel also covers the remaining pixels.
    const std::int64_t last = mask_->info().shape[axis] - 1;
    box.begin[axis] = std::min(block.begin[axis] / factor_[axis], last);
    box.end[axis] = std::min(ceil_div(block.end[axis], factor_[axis]), last + 1);
  }
  const VoxelBuffer voxels = mask_->read(box);
  return std::all_of(voxels.bytes.begin(), voxels.bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

bool all_within(const VoxelBuffer& raw, const Box& raw_box, const Box& block, double low, double high) {
  const Index3 at = block.begin - raw_box.begin, shape = block.shape();
  return with_voxel_type(raw.type, [&](auto zero) {
    const auto values = raw.as<decltype(zero)>();
    for (std::int64_t c = 0; c < raw.channels; ++c) {
      for (std::int64_t z = 0; z < shape.z; ++z) {
        for (std::int64_t y = 0; y < shape.y; ++y) {
          const auto* row =
              values.data() + ((c * raw.shape.z + at.z + z) * raw.shape.y + at.y + y) * raw.shape.x + at.x;
          for (std::int64_t x = 0; x < shape.x; ++x) {
            const auto value = static_cast<double>(row[x]);
            if (value < low || value > high) return false;
          }
        }
      }
    }
    return true;
  });
}

}  // namespace tessera
