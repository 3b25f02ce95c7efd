#include "io/hdf5/volume_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "io/base/error.h"
#include "io/geometry/mirror.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/parallel_chunk_reader.h"
#include "io/hdf5/volume_file.h"

namespace tessera {
namespace {

/// The library's own default. With 1.0 the chunk cache of HDF5 1.10 grows without bound.
constexpr double kChunkPreemption = 0.75;

VoxelType memory_type_of(hid_t dataset, const DatasetName& name) {
  Hdf5Handle type(H5Dget_type(dataset), H5Tclose);
  const std::size_t width = H5Tget_size(type.get());
  const H5T_class_t kind = H5Tget_class(type.get());
  if (kind == H5T_FLOAT) return VoxelType::float32;
  if (kind == H5T_INTEGER) {
    switch (width) {
      case 1:
        return VoxelType::uint8;
      case 2:
        return VoxelType::uint16;
      case 4:
        return VoxelType::uint32;
      case 8:
        return VoxelType::uint64;
      default:
        break;
    }
  }
  throw Error(
      fmt::format("{} holds neither integers of 8 to 64 bits nor floating point: no volume", name.text()));
}

/// A negative value in a signed volume must not become 0 without a word.
H5T_conv_ret_t refuse_out_of_range(H5T_conv_except_t kind, hid_t, hid_t, void*, void*, void*) {
  return kind == H5T_CONV_EXCEPT_RANGE_LOW || kind == H5T_CONV_EXCEPT_RANGE_HI ? H5T_CONV_ABORT
                                                                               : H5T_CONV_UNHANDLED;
}

std::vector<std::string> filters_of(hid_t creation_list) {
  std::vector<std::string> names;
  const int count = H5Pget_nfilters(creation_list);
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    std::array<char, 64> name{};
    const H5Z_filter_t filter = H5Pget_filter2(creation_list, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, name.size(), name.data(), &config);
    if (filter == H5Z_FILTER_DEFLATE)
      names.emplace_back("gzip");
    else if (filter == H5Z_FILTER_SHUFFLE)
      names.emplace_back("shuffle");
    else
      names.emplace_back(name[0] != 0 ? name.data() : fmt::format("filter {}", static_cast<int>(filter)));
    if (H5Zfilter_avail(filter) <= 0) names.back() += " (not available in this HDF5)";
  }
  return names;
}

}  // namespace

std::int64_t VolumeInfo::chunks_stored() const {
  if (!chunk) return 0;
  std::int64_t count = ceil_div(channels, chunk_channels);
  for (int axis = 0; axis < 3; ++axis)
    count *= ceil_div(shape[axis], (*chunk)[axis]);
  return count;
}

VolumeReader::VolumeReader(const DatasetName& name, std::size_t chunk_cache_bytes)
    : file_(open_hdf5_file(name.file)) {
  info_.name = name;
  if (!hdf5_path_exists(file_.get(), name.path)) {
    throw Error(fmt::format("{} has no dataset {} ('tessera info {}' lists what it has)", name.file.string(),
                            name.path, name.file.string()));
  }
  Hdf5Handle access_list(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_chunk_cache(access_list.get(), 100'003, chunk_cache_bytes, kChunkPreemption);
  dataset_ = Hdf5Handle(H5Dopen2(file_.get(), name.path.c_str(), access_list.get()), H5Dclose);
  if (!dataset_) {
    throw Error(fmt::format("{} is not a dataset: {}", name.text(), take_hdf5_error()));
  }
  Hdf5Handle space(check_hdf5(H5Dget_space(dataset_.get()), "cannot read the shape of " + name.text()),
                   H5Sclose);
  info_.rank = H5Sget_simple_extent_ndims(space.get());
  if (info_.rank < 2 || info_.rank > 4) {
    throw Error(
        fmt::format("{} has {} dimensions; a volume has 2 (y, x), 3 (z, y, x) or 4 (channel, z, y, x)",
                    name.text(), info_.rank));
  }
  std::array<hsize_t, 4> dims{1, 1, 1, 1};
  const int first = 4 - info_.rank;
  H5Sget_simple_extent_dims(space.get(), dims.data() + first, nullptr);
  for (const hsize_t dim : dims) {
    if (dim == 0) throw Error(name.text() + " is empty: one of its dimensions is 0");
    if (dim > (hsize_t{1} << 40))
      throw Error(name.text() + " claims an impossible size (is the file damaged?)");
  }
  info_.channels = static_cast<std::int64_t>(dims[0]);
  for (int axis = 0; axis < 3; ++axis)
    info_.shape[axis] = static_cast<std::int64_t>(dims[static_cast<std::size_t>(axis + 1)]);
  volume_of(info_.shape);
  info_.type = memory_type_of(dataset_.get(), name);

  Hdf5Handle creation_list(H5Dget_create_plist(dataset_.get()), H5Pclose);
  if (H5Pget_layout(creation_list.get()) == H5D_CHUNKED) {
    std::array<hsize_t, 4> chunk{1, 1, 1, 1};
    check_hdf5(H5Pget_chunk(creation_list.get(), info_.rank, chunk.data() + first),
               "cannot read the chunk shape of " + name.text());
    info_.chunk_channels = static_cast<std::int64_t>(chunk[0]);
    info_.chunk = Index3{static_cast<std::int64_t>(chunk[1]), static_cast<std::int64_t>(chunk[2]),
                         static_cast<std::int64_t>(chunk[3])};
  }
  info_.filters = filters_of(creation_list.get());
  info_.resolution_nm = read_double_attribute(dataset_.get(), "resolution");
  info_.offset_nm = read_double_attribute(dataset_.get(), "offset");
  info_.attributes = read_string_attributes(dataset_.get());
}

VolumeReader::VolumeReader(VolumeReader&&) noexcept = default;
VolumeReader& VolumeReader::operator=(VolumeReader&&) noexcept = default;
VolumeReader::~VolumeReader() = default;

void VolumeReader::unpack_on_threads(int threads) {
  parallel_.reset();
  if (threads < 1 || !info_.chunk || !ParallelChunkReader::can_read(dataset_.get(), info_.type)) return;
  parallel_ = std::make_unique<ParallelChunkReader>(
      dataset_.get(),
      ChunkLayout{info_.rank, info_.shape, *info_.chunk, info_.channels, info_.chunk_channels, info_.type},
      threads);
}

VoxelBuffer VolumeReader::read(const Box& box, std::vector<std::byte> memory) {
  if (box.empty() || !Box::of_shape(info_.shape).contains(box)) {
    throw Error(fmt::format("cannot read {} of {}: its shape is {}", to_string(box), info_.name.text(),
                            to_string(info_.shape)));
  }
  const bool used_before = !memory.empty();
  VoxelBuffer buffer(info_.type, box.shape(), info_.channels, std::move(memory));
  std::array<hsize_t, 4> start{0, 0, 0, 0}, count{static_cast<hsize_t>(info_.channels), 1, 1, 1};
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis + 1);
    start[at] = static_cast<hsize_t>(box.begin[axis]);
    count[at] = static_cast<hsize_t>(box.end[axis] - box.begin[axis]);
  }
  const auto first = static_cast<std::size_t>(4 - info_.rank);
  const std::string what = fmt::format("cannot read {} of {}", to_string(box), info_.name.text());
  if (!read_in_parallel(box, buffer, what)) {
    // Of chunks that are not stored and have no fill value the library leaves the memory as it is.
    if (used_before) std::fill(buffer.bytes.begin(), buffer.bytes.end(), std::byte{0});
    read_by_library(start.data() + first, count.data() + first, buffer, what);
  }
  if (info_.chunk) {
    std::int64_t touched = ceil_div(info_.channels, info_.chunk_channels);
    for (int axis = 0; axis < 3; ++axis) {
      const std::int64_t side = (*info_.chunk)[axis];
      touched *= ceil_div(box.end[axis], side) - box.begin[axis] / side;
    }
    chunks_read_ += touched;
  }
  return buffer;
}

bool VolumeReader::read_in_parallel(const Box& box, VoxelBuffer& buffer, const std::string& what) {
  if (!parallel_) return false;
  try {
    return parallel_->read(box, buffer);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", what, error.what()));
  }
}

void VolumeReader::read_by_library(const hsize_t* start, const hsize_t* count, VoxelBuffer& buffer,
                                   const std::string& what) {
  Hdf5Handle file_space(check_hdf5(H5Dget_space(dataset_.get()), what), H5Sclose);
  check_hdf5(H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start, nullptr, count, nullptr), what);
  Hdf5Handle memory_space(H5Screate_simple(info_.rank, count, nullptr), H5Sclose);
  Hdf5Handle transfer_list(H5Pcreate(H5P_DATASET_XFER), H5Pclose);
  H5Pset_type_conv_cb(transfer_list.get(), refuse_out_of_range, nullptr);
  if (H5Dread(dataset_.get(), hdf5_memory_type(info_.type), memory_space.get(), file_space.get(),
              transfer_list.get(), buffer.bytes.data()) < 0) {
    throw Error(
        fmt::format("{}: {} (is the file damaged or truncated, a filter missing, or a value negative?)", what,
                    take_hdf5_error()));
  }
}

VoxelBuffer VolumeReader::read_mirrored(const Box& box) {
  const Box source = mirrored_source(box, info_.shape);
  VoxelBuffer held = read(source);
  if (source == box) return held;
  return cut_mirrored(held, source, box, info_.shape);
}

VoxelBuffer cut_mirrored(const VoxelBuffer& held, const Box& held_box, const Box& box, const Index3& shape) {
  VoxelBuffer cut(held.type, box.shape(), held.channels);
  const Index3 held_shape = held.shape, cut_shape = cut.shape;
  std::vector<std::int64_t> columns(static_cast<std::size_t>(cut_shape.x));
  for (std::int64_t x = 0; x < cut_shape.x; ++x) {
    columns[static_cast<std::size_t>(x)] = mirror_index(box.begin.x + x, shape.x) - held_box.begin.x;
  }
  // The part of a row that lies inside the volume is one run.
  const std::int64_t run_begin = std::clamp<std::int64_t>(-box.begin.x, 0, cut_shape.x);
  const std::int64_t run_end = std::clamp<std::int64_t>(shape.x - box.begin.x, run_begin, cut_shape.x);
  with_voxel_type(held.type, [&](auto zero) {
    using T = decltype(zero);
    const auto from = held.as<T>();
    auto to = cut.as<T>();
    for (std::int64_t c = 0; c < held.channels; ++c) {
      for (std::int64_t z = 0; z < cut_shape.z; ++z) {
        const std::int64_t source_z = mirror_index(box.begin.z + z, shape.z) - held_box.begin.z;
        for (std::int64_t y = 0; y < cut_shape.y; ++y) {
          const std::int64_t source_y = mirror_index(box.begin.y + y, shape.y) - held_box.begin.y;
          const T* source =
              from.data() + ((c * held_shape.z + source_z) * held_shape.y + source_y) * held_shape.x;
          T* target = to.data() + ((c * cut_shape.z + z) * cut_shape.y + y) * cut_shape.x;
          for (std::int64_t x = 0; x < run_begin; ++x)
            target[x] = source[columns[static_cast<std::size_t>(x)]];
          if (run_end > run_begin) {
            std::memcpy(target + run_begin, source + columns[static_cast<std::size_t>(run_begin)],
                        static_cast<std::size_t>(run_end - run_begin) * sizeof(T));
          }
          for (std::int64_t x = run_end; x < cut_shape.x; ++x)
            target[x] = source[columns[static_cast<std::size_t>(x)]];
        }
      }
    }
  });
  return cut;
}

NonFinite find_non_finite(const VoxelBuffer& buffer) {
  NonFinite found;
  if (buffer.type != VoxelType::float32) return found;
  const auto values = buffer.as<float>();
  const Index3 shape = buffer.shape;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    if (found.count++ == 0) {
      const auto at = static_cast<std::int64_t>(i) % volume_of(shape);
      found.first = {at / (shape.y * shape.x), at / shape.x % shape.y, at % shape.x};
    }
  }
  return found;
}

void require_finite(const VoxelBuffer& buffer, const Box& box, const DatasetName& name) {
  const NonFinite found = find_non_finite(buffer);
  if (found.count == 0) return;
  throw Error(
      fmt::format("{} has {} NaN or infinite value{} in {}, the first at {}: replace them, for example by "
                  "the mean of their section, before training or predicting",
                  name.text(), found.count, found.count == 1 ? "" : "s", to_string(box),
                  to_string(box.begin + found.first)));
}

}  // namespace tessera
