#include "io/hdf5/volume_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "io/base/error.h"
#include "io/hdf5/chunk_decoder.h"
#include "io/hdf5/dataset_meaning.h"
#include "io/hdf5/dataset_storage.h"
#include "io/hdf5/hdf5_attributes.h"
#include "io/hdf5/hdf5_links.h"
#include "io/hdf5/hdf5_types.h"
#include "io/hdf5/parallel_chunk_reader.h"

namespace tessera {
namespace {

/// The default of HDF5. With 1.0 the chunk cache of HDF5 1.10 grows without bound.
constexpr double kChunkPreemption = 0.75;

}  // namespace

VolumeReader::VolumeReader(const DatasetName& name, const ReadOptions& options, ReadAs read_as)
    : file_(open_hdf5_file(name.file)) {
  info_.name = name;
  if (const Hdf5Lookup found = look_up_object(file_.get(), name.path); !found.found) {
    throw Error(fmt::format("{} has no dataset {}{} ('tessera info {}' lists what it has)",
                            name.file.string(), name.path, found.why.empty() ? "" : ": " + found.why,
                            name.file.string()));
  }
  const std::string what = "cannot open " + name.text();
  Hdf5Handle access_list(check_hdf5(H5Pcreate(H5P_DATASET_ACCESS), what), H5Pclose);
  check_hdf5(H5Pset_chunk_cache(access_list.get(), 100'003, options.chunk_cache_bytes, kChunkPreemption),
             what);
  dataset_ = Hdf5Handle(H5Dopen2(file_.get(), name.path.c_str(), access_list.get()), H5Dclose);
  if (!dataset_) {
    const std::string why = take_hdf5_error();
    const bool is_group =
        Hdf5Handle(H5Gopen2(file_.get(), name.path.c_str(), H5P_DEFAULT), H5Gclose).get() >= 0;
    if (!is_group) take_hdf5_error();
    throw Error(fmt::format(
        "{} is not a dataset{}", name.text(),
        is_group ? fmt::format(", but a group ('tessera info {}' lists the datasets)", name.file.string())
                 : ": " + why));
  }
  read_shape();
  conversion_ = conversion_of(dataset_.get(), name, read_as);
  info_.type = conversion_.type;
  const Hdf5Handle stored(check_hdf5(H5Dget_type(dataset_.get()), what), H5Tclose);
  info_.stored_type = hdf5_type_text(stored.get());
  read_storage();
  info_.files = require_storage(dataset_.get(), name);
  info_.resolution_nm = read_resolution(dataset_.get(), name.text());
  info_.offset_nm = read_offset(dataset_.get(), name.text());
  info_.attributes = read_string_attributes(dataset_.get());
  if (const auto offsets = read_double_attribute(dataset_.get(), "offsets"); !offsets.empty())
    info_.attributes["offsets"] = fmt::format("[{}]", fmt::join(offsets, ", "));
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
  info_.rank = static_cast<int>(
      check_hdf5(H5Sget_simple_extent_ndims(space.get()), "cannot read the shape of " + name));
  if (info_.rank < 2 || info_.rank > 4) {
    throw Error(
        fmt::format("{} has {} dimensions; a volume has 2 (y, x), 3 (z, y, x) or 4 (channel, z, y, x)", name,
                    info_.rank));
  }
  std::array<hsize_t, 4> dims{1, 1, 1, 1};
  check_hdf5(H5Sget_simple_extent_dims(space.get(), dims.data() + (4 - info_.rank), nullptr),
             "cannot read the shape of " + name);
  for (const hsize_t dim : dims) {
    if (dim == 0) throw Error(name + " is empty: one of its dimensions is 0");
    if (dim > (hsize_t{1} << 40)) throw Error(name + " claims an impossible size (is the file damaged?)");
  }
  require_plain_meaning(dataset_.get(), {dims.begin() + (4 - info_.rank), dims.end()}, name);
  info_.channels = static_cast<std::int64_t>(dims[0]);
  for (int axis = 0; axis < 3; ++axis)
    info_.shape[axis] = static_cast<std::int64_t>(dims[static_cast<std::size_t>(axis) + 1]);
  volume_of(info_.shape);  // throws when it does not fit 63 bits
}

void VolumeReader::read_storage() {
  Hdf5Handle creation_list(
      check_hdf5(H5Dget_create_plist(dataset_.get()), "cannot read the storage of " + info_.name.text()),
      H5Pclose);
  if (H5Pget_layout(creation_list.get()) == H5D_CHUNKED) {
    std::array<hsize_t, 4> chunk{1, 1, 1, 1};
    check_hdf5(H5Pget_chunk(creation_list.get(), info_.rank, chunk.data() + (4 - info_.rank)),
               "cannot read the chunk shape of " + info_.name.text());
    info_.chunk_channels = static_cast<std::int64_t>(chunk[0]);
    info_.chunk = Index3{static_cast<std::int64_t>(chunk[1]), static_cast<std::int64_t>(chunk[2]),
                         static_cast<std::int64_t>(chunk[3])};
  }
  for (const ChunkFilter& filter : filters_of(creation_list.get()))
    info_.filters.push_back(filter_text(filter));
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
    const auto at = static_cast<std::size_t>(axis) + 1;
    start[at] = static_cast<hsize_t>(box.begin[axis]);
    count[at] = static_cast<hsize_t>(box.end[axis] - box.begin[axis]);
  }
  const auto first = static_cast<std::size_t>(4 - info_.rank);
  Hdf5Handle file_space(check_hdf5(H5Dget_space(dataset_.get()), what), H5Sclose);
  check_hdf5(H5Sselect_hyperslab(file_space.get(), H5S_SELECT_SET, start.data() + first, nullptr,
                                 count.data() + first, nullptr),
             what);
  Hdf5Handle memory_space(check_hdf5(H5Screate_simple(info_.rank, count.data() + first, nullptr), what),
                          H5Sclose);
  read_voxels(dataset_.get(), conversion_, memory_space.get(), file_space.get(), buffer, what);
}

}  // namespace tessera
