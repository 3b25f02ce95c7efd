#include "pipeline/inputs/import_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <type_traits>
#include <utility>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "io/volume/dataset_name.h"
#include "workers/device/device.h"

namespace tessera {
namespace {

/// "file:/dataset" where the file exists and no file or folder has the whole name.
bool is_dataset(const std::string& source) {
  const std::size_t colon = source.rfind(":/");
  return colon != std::string::npos && !file_exists(source) && file_exists(source.substr(0, colon));
}

/// The voxels as another type. Floating point is rounded to integers. Errors: Error for a value that the type
/// cannot hold, or an integer that it would round.
VoxelBuffer converted(const VoxelBuffer& voxels, VoxelType type, const std::string& source) {
  VoxelBuffer result(type, voxels.shape);
  const auto reject = [&](auto value) {
    throw Error(fmt::format("{} holds {}, which {} cannot hold: choose another --dtype", source, value,
                            name_of(type)));
  };
  with_voxel_type(voxels.type, [&](auto from_zero) {
    with_voxel_type(type, [&](auto to_zero) {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      const auto from = voxels.as<From>();
      const auto to = result.as<To>();
      for (std::size_t i = 0; i < from.size(); ++i) {
        if constexpr (std::is_integral_v<From> && std::is_integral_v<To>) {
          if (!std::in_range<To>(from[i])) reject(from[i]);
        } else if constexpr (std::is_integral_v<To>) {
          const auto value = static_cast<double>(from[i]);
          if (!(value >= 0 && value <= static_cast<double>(std::numeric_limits<To>::max()))) reject(value);
          to[i] = static_cast<To>(std::llround(value));
          continue;
        } else if constexpr (std::is_integral_v<From>) {
          const auto narrow = static_cast<double>(static_cast<To>(from[i]));
          if (narrow >= std::ldexp(1, std::numeric_limits<From>::digits) ||
              static_cast<From>(narrow) != from[i])
            reject(from[i]);
        }
        to[i] = static_cast<To>(from[i]);
      }
    });
  });
  return result;
}

/// uint8: 1 where a voxel is above `limit`, else 0.
VoxelBuffer thresholded(const VoxelBuffer& voxels, double limit) {
  VoxelBuffer result(VoxelType::uint8, voxels.shape);
  with_voxel_type(voxels.type, [&](auto zero) {
    const auto from = voxels.as<decltype(zero)>();
    std::transform(from.begin(), from.end(), result.as<std::uint8_t>().begin(), [&](auto value) {
      return static_cast<std::uint8_t>(static_cast<double>(value) > limit ? 1 : 0);
    });
  });
  return result;
}

/// The values of an attribute of the source, one for each of its axes, as (z, y, x).
std::vector<double> sorted(const std::vector<double>& of_axes, const AxisOrder& axes) {
  if (of_axes.size() != 3) return {};
  const Index3 from = axes.sorted(Index3{0, 1, 2});
  return {of_axes[static_cast<std::size_t>(from.z)], of_axes[static_cast<std::size_t>(from.y)],
          of_axes[static_cast<std::size_t>(from.x)]};
}

}  // namespace

ImportSource::ImportSource(const std::string& source, const ImportSourceOptions& options)
    : source_(source), options_(options), axes_(options.axes.value_or(AxisOrder("zyx"))) {
  is_dataset(source) ? open_dataset(source, options.images) : open_images(source, options.images);
  if (options.axes) return;
  if (const std::string doubt = axis_order_doubt(shape_); !doubt.empty())
    notes_.push_back(fmt::format("{}. {}", doubt, axis_order_advice(source)));
}

void ImportSource::open_images(const std::string& source, const ImageOptions& images) {
  images_.emplace(source, images);
  if (images_->ignored_files() > 0) {
    notes_.push_back(fmt::format("{} file{} passed over, hidden or neither PNG nor TIFF by name",
                                 images_->ignored_files(), images_->ignored_files() == 1 ? "" : "s"));
  }
  if (!images_->note().empty()) notes_.push_back(images_->note());
  type_ = images_->type();
  shape_ = axes_.sorted(images_->shape());
  if (axes_.is_zyx()) return;
  const std::int64_t bytes = 2 * volume_of(shape_) * size_of(type_);
  if (bytes > available_memory(Device{})) {
    throw UsageError(fmt::format(
        "--axes: reordering the images of {} takes {} of memory, more than is available: import them without "
        "--axes, then reorder the dataset: tessera import OUT.h5:/volumes/raw NEW.h5:/volumes/raw --axes ...",
        source, bytes_text(bytes)));
  }
  whole_ = axes_.sorted(read_images(0, images_->shape().z));
}

void ImportSource::open_dataset(const std::string& source, const ImageOptions& images) {
  dataset_ = open_volume(parse_dataset_name(source));
  const VolumeInfo& info = dataset_->info();
  require_complete(info, options_.allow_incomplete);
  if (info.channels > 1 && (!images.channel || *images.channel < 0 || *images.channel >= info.channels)) {
    throw UsageError(fmt::format("{} has {} channels: choose one with --channel 0 to {}", source,
                                 info.channels, info.channels - 1));
  }
  channel_ = info.channels > 1 ? *images.channel : 0;
  type_ = info.type;
  shape_ = axes_.sorted(info.shape);
  resolution_nm_ = sorted(info.resolution_nm, axes_);
  offset_nm_ = sorted(info.offset_nm, axes_);
}

std::int64_t ImportSource::good_sections(std::int64_t sections) const {
  constexpr std::int64_t kBytes = std::int64_t{256} << 20;
  if (!dataset_) return 1;
  return std::max<std::int64_t>(1, kBytes / (sections * shape_.y * shape_.x * size_of(type_)));
}

VoxelType ImportSource::type() const {
  return options_.threshold ? VoxelType::uint8 : options_.type.value_or(type_);
}

VoxelBuffer ImportSource::read_sections(std::int64_t begin, std::int64_t count) {
  VoxelBuffer sections = read_source(begin, count);
  if (options_.threshold) return thresholded(sections, *options_.threshold);
  return type() == type_ ? sections : converted(sections, type(), source_);
}

VoxelBuffer ImportSource::read_source(std::int64_t begin, std::int64_t count) {
  const Box box{{begin, 0, 0}, {begin + count, shape_.y, shape_.x}};
  if (dataset_) return read_dataset(box);
  if (axes_.is_zyx()) return read_images(begin, count);
  VoxelBuffer sections(type_, box.shape());
  const std::size_t section_bytes = whole_.bytes.size() / static_cast<std::size_t>(shape_.z);
  std::memcpy(sections.bytes.data(), whole_.bytes.data() + static_cast<std::size_t>(begin) * section_bytes,
              sections.bytes.size());
  return sections;
}

VoxelBuffer ImportSource::read_images(std::int64_t begin, std::int64_t count) {
  VoxelBuffer sections(type_, {count, images_->shape().y, images_->shape().x});
  std::byte* to = sections.bytes.data();
  for (std::int64_t z = begin; z < begin + count; ++z) {
    const VoxelBuffer section = images_->read_section(z);
    std::memcpy(to, section.bytes.data(), section.bytes.size());
    to += section.bytes.size();
  }
  return sections;
}

VoxelBuffer ImportSource::read_dataset(const Box& box) {
  VoxelBuffer voxels = dataset_->read({axes_.unsorted(box.begin), axes_.unsorted(box.end)});
  if (voxels.channels > 1) {
    VoxelBuffer one(voxels.type, voxels.shape);
    std::memcpy(one.bytes.data(), voxels.bytes.data() + static_cast<std::size_t>(channel_) * one.bytes.size(),
                one.bytes.size());
    voxels = std::move(one);
  }
  return axes_.is_zyx() ? voxels : axes_.sorted(voxels);
}

}  // namespace tessera
