#include "io/hdf5/volume_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/base/error.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_types.h"
#include "io/hdf5/parallel_chunk_reader.h"

namespace tessera {
namespace {

/// The default of HDF5. With 1.0 the chunk cache of HDF5 1.10 grows without bound.
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

/// Makes a negative value in a signed volume an error. Without it, HDF5 converts the value to 0.
H5T_conv_ret_t reject_out_of_range(H5T_conv_except_t kind, hid_t, hid_t, void*, void*, void*) {
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

VolumeReader::VolumeReader(const DatasetName& name, const ReadOptions& options)
    : file_(open_hdf5_file(name.file)) {
  info_.name = name;
  if (!hdf5_path_exists(file_.get(), name.path)) {
    throw Error(fmt::format("{} has no dataset {} ('tessera info {}' lists what it has)", name.file.string(),
                            name.path, name.file.string()));
  }
  Hdf5Handle access_list(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_chunk_cache(access_list.get(), 100'003, options.chunk_cache_bytes, kChunkPreemption);
  dataset_ = Hdf5Handle(H5Dopen2(file_.get(), name.path.c_str(), access_list.get()), H5Dclose);
  if (!dataset_) {
    throw Error(fmt::format("{} is not a dataset: {}", name.text(), take_hdf5_error()));
  }
  read_shape();
  info_.type = memory_type_of(dataset_.get(), name);
  read_storage();
  info_.resolution_nm = read_double_attribute(dataset_.get(), "resolution");
  info_.offset_nm = read_double_attribute(dataset_.get(), "offset");
  info_.attributes = read_string_attributes(dataset_.get());
  if (options.unpack_threads > 0 && info_.chunk &&
      ParallelChunkReader::can_read(dataset_.get(), info_.type)) {
    parallel_ = std::make_unique<ParallelChunkReader>(
        dataset_.get(),
        ChunkLayout{info_.rank, info_.shape, *info_.chunk, info_.channels, info_.chunk_channels, info_.type},
        options.unpack_threads);
  }
}

VolumeReader::VolumeReader(VolumeReader&&) noexcept = default;
VolumeReader& VolumeReader::operator=(VolumeReader&&) noexcept = default;
VolumeReader::~VolumeReader() = default;

void VolumeReader::read_shape() {
  const std::string name = info_.name.text();
  Hdf5Handle space(check_hdf5(H5Dget_space(dataset_.get()), "cannot read the shape of " + name), H5Sclose);
  info_.rank = H5Sget_simple_extent_ndims(space.get());
  if (info_.rank < 2 || info_.rank > 4) {
    throw Error(
        fmt::format("{} has {} dimensions; a volume has 2 (y, x), 3 (z, y, x) or 4 (channel, z, y, x)", name,
                    info_.rank));
  }
  std::array<hsize_t, 4> dims{1, 1, 1, 1};
  H5Sget_simple_extent_dims(space.get(), dims.data() + (4 - info_.rank), nullptr);
  for (const hsize_t dim : dims) {
    if (dim == 0) throw Error(name + " is empty: one of its dimensions is 0");
    if (dim > (hsize_t{1} << 40)) throw Error(name + " claims an impossible size (is the file damaged?)");
  }
  info_.channels = static_cast<std::int64_t>(dims[0]);
  for (int axis = 0; axis < 3; ++axis)
    info_.shape[axis] = static_cast<std::int64_t>(dims[static_cast<std::size_t>(axis + 1)]);
  volume_of(info_.shape);  // throws when it does not fit 63 bits
}

void VolumeReader::read_storage() {
  Hdf5Handle creation_list(H5Dget_create_plist(dataset_.get()), H5Pclose);
  if (H5Pget_layout(creation_list.get()) == H5D_CHUNKED) {
    std::array<hsize_t, 4> chunk{1, 1, 1, 1};
    check_hdf5(H5Pget_chunk(creation_list.get(), info_.rank, chunk.data() + (4 - info_.rank)),
               "cannot read the chunk shape of " + info_.name.text());
    info_.chunk_channels = static_cast<std::int64_t>(chunk[0]);
    info_.chunk = Index3{static_cast<std::int64_t>(chunk[1]), static_cast<std::int64_t>(chunk[2]),
                         static_cast<std::int64_t>(chunk[3])};
  }
  info_.filters = filters_of(creation_list.get());
}

VoxelBuffer VolumeReader::read(const Box& box, std::vector<std::byte> memory) {
  if (box.empty() || !Box::of_shape(info_.shape).contains(box)) {
    throw Error(fmt::format("cannot read {} of {}: its shape is {}", to_string(box), info_.name.text(),
                            to_string(info_.shape)));
  }
  const bool used_before = !memory.empty();
  VoxelBuffer buffer(info_.type, box.shape(), info_.channels, std::move(memory));
  const std::string what = fmt::format("cannot read {} of {}", to_string(box), info_.name.text());
  if (!read_in_parallel(box, buffer, what)) {
    // For chunks that are not stored and have no fill value, the library leaves the memory unchanged.
    if (used_before) std::fill(buffer.bytes.begin(), buffer.bytes.end(), std::byte{0});
    read_by_library(box, buffer, what);
  }
  chunks_read_ += chunks_touched(box);
  return buffer;
}

std::int64_t VolumeReader::chunks_touched(const Box& box) const {
  if (!info_.chunk) return 0;
  std::int64_t touched = ceil_div(info_.channels, info_.chunk_channels);
  for (int axis = 0; axis < 3; ++axis) {
    const std::int64_t side = (*info_.chunk)[axis];
    touched *= ceil_div(box.end[axis], side) - box.begin[axis] / side;
  }
  return touched;
}

bool VolumeReader::read_in_parallel(const Box& box, VoxelBuffer& buffer, const std::string& what) {
  if (!parallel_) return false;
  try {
    return parallel_->read(box, buffer);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", what, error.what()));
  }
}

void VolumeReader::read_by_library(const Box& box, VoxelBuffer& buffer, const std::string& what) {
  std::array<hsize_t, 4> start{0, 0, 0, 0}, count{static_cast<hsize_t>(info_.channels), 1, 1, 1};
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis + 1);
    start[at] = static_cast<hsize_t>(box.begin[axis]);
    count[at] = static_cast<hsize_t>(box.end[axis] - box.begin[axis]);
  }
  const auto first = static_cast<std::size_t>(4 - info_.rank);
  Hdf5Handle file_space(check_hdf5(H5Dget_space(dataset_.get()), what), H5Sclose);
  check_hdf5(H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data() + first, nullptr,
                                 count.data() + first, nullptr),
             what);
  Hdf5Handle memory_space(H5Screate_simple(info_.rank, count.data() + first, nullptr), H5Sclose);
  Hdf5Handle transfer_list(H5Pcreate(H5P_DATASET_XFER), H5Pclose);
  H5Pset_type_conv_cb(transfer_list.get(), reject_out_of_range, nullptr);
  if (H5Dread(dataset_.get(), hdf5_memory_type(info_.type), memory_space.get(), file_space.get(),
              transfer_list.get(), buffer.bytes.data()) < 0) {
    throw Error(
        fmt::format("{}: {} (is the file damaged or truncated, a filter missing, or a value negative?)", what,
                    take_hdf5_error()));
  }
}

}  // namespace tessera
