#include "workers/blocks/skip_rule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
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

/// The factor between the raw volume's voxels and the mask's by their attributes; none without both. Errors:
/// UsageError for one that is no whole number.
std::optional<Index3> factor_by_resolution(const VolumeInfo& raw, const VolumeInfo& mask) {
  if (raw.resolution_nm.empty() || mask.resolution_nm.empty()) return std::nullopt;
  Index3 factor;
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    const double ratio = mask.resolution_nm[at] / raw.resolution_nm[at];
    if (!(ratio < 1e9) || std::abs(ratio - std::round(ratio)) > 1e-5 * ratio || std::round(ratio) < 1) {
      throw UsageError(fmt::format(
          "infer.skip.mask: the resolution of {} is ({}) nm, that of the raw volume {} is ({}) nm: on each "
          "axis it must be a whole multiple",
          mask.name.text(), fmt::join(mask.resolution_nm, ", "), raw.name.text(),
          fmt::join(raw.resolution_nm, ", ")));
    }
    factor[axis] = static_cast<std::int64_t>(std::round(ratio));
  }
  return factor;
}

/// The first voxel of a mask with an offset, in raw voxels. Errors: UsageError for no whole number.
Index3 begin_of(const VolumeInfo& raw, const VolumeInfo& mask, const Index3& factor) {
  Index3 begin;
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    const double voxel = !raw.resolution_nm.empty() ? raw.resolution_nm[at]
                         : !mask.resolution_nm.empty()
                             ? mask.resolution_nm[at] / static_cast<double>(factor[axis])
                             : 1;
    const double nm = mask.offset_nm[at] - (raw.offset_nm.empty() ? 0 : raw.offset_nm[at]);
    const double voxels = nm / voxel;
    if (std::abs(voxels) > 1e15 || std::abs(voxels - std::round(voxels)) > 1e-3) {
      throw UsageError(fmt::format(
          "infer.skip.mask: by its attribute 'offset', {} begins {} voxels from the raw volume {} on "
          "axis {}, which is no whole number",
          mask.name.text(), voxels, raw.name.text(), "zyx"[axis]));
    }
    begin[axis] = static_cast<std::int64_t>(std::round(voxels));
  }
  return begin;
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a >= 0 ? a / b : -ceil_div(-a, b);
}

}  // namespace

BlockMask::BlockMask(const DatasetName& mask, const VolumeInfo& raw) : mask_(open_labels(mask)) {
  const VolumeInfo& info = mask_->info();
  const std::optional<Index3> known = factor_by_resolution(raw, info);
  const bool is_placed = known && !info.offset_nm.empty();  // such a mask may cover a part
  bool fits = info.channels == 1;
  for (int axis = 0; axis < 3; ++axis) {
    const auto factor = known ? (*known)[axis] : factor_between(raw.shape[axis], info.shape[axis]);
    const std::int64_t exact = raw.shape[axis] / std::max<std::int64_t>(factor.value_or(1), 1);
    const bool covers =
        factor && (info.shape[axis] == exact || info.shape[axis] == ceil_div(raw.shape[axis], *factor));
    fits = fits && (covers || is_placed);
    factor_[axis] = factor.value_or(1);
    end_[axis] = covers ? raw.shape[axis] : info.shape[axis] * factor_[axis];
  }
  if (!fits) {
    throw UsageError(fmt::format(
        "infer.skip.mask: {} has {} of shape {}; it must hold integers of the raw volume's shape {}, "
        "or of one that is coarser by a whole factor on each axis (an exact one, or a power of two){}",
        mask.text(), name_of(info.type), to_string(info.shape), to_string(raw.shape),
        known ? fmt::format("; its attribute 'resolution' says that it is coarser by {}", to_string(*known))
              : ""));
  }
  if (info.offset_nm.empty()) return;
  begin_ = begin_of(raw, info, factor_);
  if (begin_ == Index3{}) return;
  for (int axis = 0; axis < 3; ++axis)
    end_[axis] = begin_[axis] + info.shape[axis] * factor_[axis];
}

bool BlockMask::is_background(const Box& block) {
  if (!Box{begin_, end_}.contains(block)) return false;  // the mask says nothing of a part of it
  Box box;
  for (int axis = 0; axis < 3; ++axis) {
    // Where a pyramid rounded its size down, the last mask pixel also covers the remaining pixels.
    const std::int64_t last = mask_->info().shape[axis] - 1;
    box.begin[axis] = std::min(floor_div(block.begin[axis] - begin_[axis], factor_[axis]), last);
    box.end[axis] = std::min(ceil_div(block.end[axis] - begin_[axis], factor_[axis]), last + 1);
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
